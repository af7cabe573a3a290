# The reference: what a config may go through, written once more, without a
# database and without a look at the extension's code, from what the extension
# promises (statuses, outcomes, limits, refunds, fences, who may claim what).
#
# It is given what sessions did (operations: arguments, answer, and when each
# began and ended) and a journal of what became of every row (triggers write
# it; a row's entries are in the order of commits, since its lock is held from
# the entry to the commit).  Then
#
#   - every entry must be a step that the reference makes for the operation
#     that wrote it, from the state that the reference has the row in;
#   - every step that an operation owes must be there: a config in the state
#     that asks for it at every moment of the operation;
#   - every answer must be what the reference says of a state that the config
#     can have been in during the operation.
#
# Where operations overlap, a state may have begun at any moment of the
# operation that made it; so the verdicts are as sharp as what can be known
# from outside.  An operation that overlaps no other is predicted exactly,
# and so is every operation of a single session.
package Reference;
use strict;
use warnings FATAL => 'all';

# What becomes of a config by the outcome of an attempt.
my %policies = (
	crash => { limit => 'crash_retries', retries => 4, blamed => 1, delayed => 1, counted => 1, elsewhere => 1, suspect => 1 },
	timeout => { limit => 'timeout_retries', retries => 1, blamed => 1, counted => 1, elsewhere => 1, suspect => 1 },
	bad_output => { limit => 'bad_output_retries', retries => 1, blamed => 1, counted => 1, elsewhere => 1, suspect => 1 },
	(map { $_ => { retries => 0, blamed => 1, counted => 1 } } qw(gpu_oom host_oom unsupported bad_config)),
	(map { $_ => { counted => 1, elsewhere => 1 } } qw(gpu_fault node_fault)),
	preempted => {},
	lost => { limit => 'max_losses', retries => 4, blamed => 1, counted => 1 });

my %may_follow = (
	pending => { map { $_ => 1 } qw(skipped cancelled) },
	running => { map { $_ => 1 } qw(pending completed failed skipped cancelled) });

# What the journal tells of a config, in this order.
our @facts = qw(status claim attempt retry_count begun waits priority batch_size witness
	model lane hardware framework gpus sequence_length settled_at started_at);

# limits: the template's; exact: one session only
sub new
{
	my ($class, %given) = @_;
	return bless { %given, configs => {}, workers => {}, models => {}, leases => {}, attempts => {}, claims => {},
		resulted => {}, row => {}, problems => [] }, $class;
}

sub problem
{
	my ($self, $op, $text) = @_;
	$text .= "\n$self->{history}{$1}" if $self->{history} && $text =~ /config (\d+)/;
	push @{ $self->{problems} }, sprintf '%s: %s', $op ? "operation $op->{id} ($op->{sql} -> "
		. ($op->{sqlstate} || join ';', map { join '|', @$_ } @{ $op->{rows} }) . ')' : 'at rest', $text;
}

# ------------------------------------------------------------------- time
#
# A timeline is a list of [from, to, state]: the state began somewhere between.

sub add { my ($timeline, $op, $state) = @_; push @$timeline, [ $op->{from}, $op->{to}, $state ]; }

# The states that can have held at some moment of the operation.
sub possible
{
	my ($timeline, $op) = @_;
	my @states;

	foreach my $entry (reverse @{ $timeline || [] })
	{
		push @states, $entry->[2] if $entry->[0] <= $op->{to};
		last if $entry->[1] < $op->{from};
	}
	return @states;
}

# The state after an operation that overlaps no other, and before it.
sub after { my ($timeline, $op) = @_; foreach (reverse @{ $timeline || [] }) { return $_->[2] if $_->[0] <= $op->{to}; } return; }
sub before { my ($timeline, $op) = @_; foreach (reverse @{ $timeline || [] }) { return $_->[2] if $_->[1] < $op->{from}; } return; }

# All configs that there are after an operation that overlaps no other: id => state.
sub configs_after
{
	my ($self, $op) = @_;
	return $op->{configs_after} //= { map { my $c = after($self->{configs}{$_}, $op); $c && $c->{status} ne 'gone' ? ($_ => $c) : () } keys %{ $self->{configs} } };
}

sub every { my ($test, @states) = @_; return @states && !grep { !$test->($_) } @states; }

# -------------------------------------------------------------- the machine

sub open_config { return $_[0]{status} eq 'pending' || $_[0]{status} eq 'running'; }

sub held { my ($c, $claim) = @_; return $c->{status} eq 'running' && $c->{claim} == $claim; }

sub worker_of { my ($self, $c) = @_; return $c->{status} eq 'running' ? $self->{claims}{ $c->{claim} } : undef; }

# A copy with changes.
sub become { my ($c, %changes) = @_; return { %$c, %changes }; }

sub settled { my ($c, $status, %also) = @_; return become($c, status => $status, begun => 0, waits => 0, due => 0, %also); }

sub put_back
{
	my ($c, $counted, %also) = @_;
	return become($c, status => 'pending', claim => 0, begun => 0, retry_count => $c->{retry_count} + ($counted ? 1 : 0),
		waits => 0, due => 0, avoid => undef, %also);
}

# The blamed attempts of a config with an outcome, at least and at most: a refund may overlap.
sub spent
{
	my ($self, $op, $id, $outcome) = @_;
	my ($least, $most) = (0, 0);

	foreach my $attempt (grep { $_->{outcome} eq $outcome && $_->{was_blamed} && $_->{op} ne $op->{id} } @{ $self->{attempts}{$id} || [] })
	{
		my $refund = $attempt->{refunded};
		$least++ if !$refund || $refund->{from} > $op->{to};
		$most++ if !$refund || $refund->{to} >= $op->{from} && !$self->{exact};
	}
	return ($least, $most);
}

# An attempt ends: what the config can become, each with the attempt's row.
sub end_attempt
{
	my ($self, $op, $id, $c, $outcome, $free) = @_;
	my $worker = $self->worker_of($c);
	my @ends;

	$outcome = 'node_fault' if $outcome eq 'gpu_oom' && defined $free && $free < 0.95;
	my $policy = $policies{$outcome};
	my $blamed = $policy->{blamed} && ($outcome ne 'lost' || $c->{begun} || !$worker) ? 1 : 0;
	my $retries = $policy->{limit} && $self->{limits}{ $policy->{limit} } // $policy->{retries};
	my ($least, $most) = $self->spent($op, $id, $outcome);

	foreach my $spent ($least .. $most)
	{
		my $n = $spent + $blamed;
		my $fails = $blamed && ($outcome eq 'lost' ? $n >= $retries : $n > $retries);
		my @delays = @{ $self->{limits}{crash_delays_s} };
		my $delay = $policy->{delayed} && !$fails ? $delays[ $n > @delays ? -1 : $n - 1 ] : 0;
		# a release costs nothing, whatever it is for
		my $counted = $policy->{counted} && $op->{kind} ne 'release';
		push @ends, {
			verb => 'end_attempt',
			attempt => { claim => $c->{claim}, worker => $worker // '', outcome => $outcome, blamed => $blamed,
				status => $fails ? 'failed' : 'pending' },
			state => $fails ? settled($c, 'failed')
				: put_back($c, $counted, waits => $delay > 0 ? 1 : 0, avoid => $policy->{elsewhere} ? $worker : undef) };
	}
	return @ends;
}

# The lease of the worker may be seen as expired.
sub may_be_expired { my ($self, $op, $worker) = @_; return grep { $_->{expired} } possible($self->{leases}{$worker}, $op); }

# What a sweep may do to a config; timeout: to claims without worker, too.
sub swept
{
	my ($self, $op, $id, $c, $timeout) = @_;
	my @steps;

	push @steps, { verb => 'wake', state => become($c, waits => 0, due => 0) } if $c->{status} eq 'pending' && $c->{waits} && $c->{due};
	return @steps if $c->{status} ne 'running';
	my $worker = $self->worker_of($c);
	return @steps unless $worker ? $self->may_be_expired($op, $worker) : $timeout;
	return (@steps, $worker && !$c->{begun} ? { verb => 'lost', state => put_back($c, 1) }
		: map { { %$_, verb => 'lost' } } $self->end_attempt($op, $id, $c, 'lost'));
}

# The steps that an operation may make with a config, by kind.
my %steps;
%steps = (
	claim => sub {
		my ($self, $op, $id, $c) = @_;
		my @steps = $self->swept($op, $id, $c, 0);

		push @steps, { verb => 'take', state => become($c, status => 'running', claim => $op->{token} // 0, attempt => $c->{attempt} + 1, begun => 0) }
		  if $c->{status} eq 'pending' && !$c->{waits} && $c->{priority} <= $op->{threshold} && (!$op->{model} || $op->{model} == $c->{model})
		  && (!$op->{worker} || $self->fits($op, $op->{worker}, $c));
		return @steps;
	},
	start => sub { my ($self, $op, $id, $c) = @_; return own($op, $id, $c) ? { verb => 'start', state => become($c, begun => 1) } : (); },
	complete => sub { my ($self, $op, $id, $c) = @_; return own($op, $id, $c) ? { verb => 'complete', state => settled($c, 'completed') } : (); },
	fail => sub {
		my ($self, $op, $id, $c) = @_;
		my @steps = own($op, $id, $c) ? $self->end_attempt($op, $id, $c, $op->{outcome}, $op->{free}) : ();

		# the third failure in a row is the worker's: what waits there goes back
		push @steps, { verb => 'broken', state => put_back($c, 0) }
		  if $c->{status} eq 'running' && !$c->{begun} && $policies{ $op->{outcome} }{suspect} && defined $self->worker_of($c)
		  && grep { $self->worker_of($c) eq $_ } $self->blamable($op);
		# what needs as much memory as the witness is not tried
		push @steps, { verb => 'prune', state => settled($c, 'skipped', witness => $op->{pairs}[0][0]) }
		  if $c->{status} eq 'pending' && $op->{outcome} eq 'gpu_oom' && ($op->{free} // 0) >= 0.95 && $self->dominated($op, $c);
		return @steps;
	},
	update => sub {
		my ($self, $op, $id, $c) = @_;

		return $steps{fail}->($self, { %$op, outcome => 'crash' }, $id, $c) if $op->{to_status} eq 'failed' && $c->{status} eq 'running';
		return unless own($op, $id, $c) && $may_follow{ $c->{status} }{ $op->{to_status} };
		return { verb => 'complete', state => settled($c, 'completed') } if $op->{to_status} eq 'completed';
		return { verb => 'put_back', state => put_back($c, 1) } if $op->{to_status} eq 'pending';
		return { verb => 'settle', state => settled($c, $op->{to_status}) };
	},
	# completes what it names, and claims
	next => sub { my @given = @_; return map { $steps{$_}->(@given) } qw(complete claim); },
	heartbeat => sub { return },
	release => sub {
		my ($self, $op, $id, $c) = @_;
		return unless ($self->worker_of($c) // '') eq $op->{worker} && !($c->{begun} && $op->{waiting});
		return { verb => 'release', state => put_back($c, 0) } if !$c->{begun};
		return map { { %$_, verb => 'release' } } $self->end_attempt($op, $id, $c, $op->{outcome});
	},
	reset => sub { my ($self, $op, $id, $c) = @_; return $self->swept($op, $id, $c, $op->{minutes} == 0); },
	cancel => sub {
		my ($self, $op, $id, $c) = @_;
		return $c->{model} == $op->{model} && open_config($c) ? { verb => 'cancel', state => settled($c, 'cancelled') } : ();
	},
	retry => sub {
		my ($self, $op, $id, $c) = @_;
		return unless $c->{model} == $op->{model} && $c->{status} =~ /^(failed|skipped|cancelled)$/;
		my $last = $self->{attempts}{ $c->{witness} || $id };
		return if $op->{outcome} && $self->{exact} && (!$last || $last->[-1]{outcome} ne $op->{outcome});
		return { verb => 'retry', state => become($c, status => 'pending', claim => 0, begun => 0, waits => 0, due => 0, witness => 0, avoid => undef) };
	},
	reprioritize => sub {
		my ($self, $op, $id, $c) = @_;
		return $c->{model} == $op->{model} && open_config($c)
		  ? { verb => 'reprioritize', state => become($c, priority => $c->{priority} + $op->{delta}) } : ();
	},
	typed => sub {
		my ($self, $op, $id, $c) = @_;
		return unless $id == $op->{config};
		my %now = (waits => 0, due => 0, avoid => undef);
		if ($op->{column} eq 'status')
		{
			return if $op->{value} ne $c->{status} && !$may_follow{ $c->{status} }{ $op->{value} };
			# the same status again ends a wait, and changes nothing else
			return { verb => 'typed', state => become($c, $c->{waits} ? %now : ()) } if $op->{value} eq $c->{status};
			return { verb => 'typed', state => put_back($c, $op->{retries}) } if $op->{value} eq 'pending';
			return { verb => 'typed', state => settled($c, $op->{value}) };
		}
		return { verb => 'typed', state => become($c, $op->{column} => $op->{value}, $c->{status} eq 'pending' ? %now : ()) };
	},
	delete => sub {
		my ($self, $op, $id, $c) = @_;
		return ($op->{config} ? $id == $op->{config} : $c->{status} eq 'completed') ? { verb => 'delete', state => become($c, status => 'gone') } : ();
	},
	due => sub { return },
	nothing => sub { return });

# The operation names this config, and the claim that holds it where it names one.
sub own
{
	my ($op, $id, $c) = @_;
	foreach my $pair (@{ $op->{pairs} })
	{
		next if $pair->[0] != $id;
		return 1 if $pair->[1] ? held($c, $pair->[1]) : open_config($c);
	}
	return 0;
}

# Workers whose attempts end in this operation.
sub blamable { my ($self, $op) = @_; return grep { defined } map { $self->{claims}{ $_->[1] || ($op->{ended}{ $_->[0] } // 0) } } @{ $op->{pairs} }; }

sub dominated
{
	my ($self, $op, $c) = @_;
	my ($witness) = map { $_->[-1][2] } $self->{configs}{ $op->{pairs}[0][0] };
	return $c->{lane} == $witness->{lane} && $c->{batch_size} >= $witness->{batch_size} && $c->{sequence_length} >= $witness->{sequence_length};
}

# Hardware and GPUs never change; frameworks that a worker has lost are told by its row's timeline.
sub fits
{
	my ($self, $op, $worker, $c) = @_;
	return grep { $_->{hardware} == $c->{hardware} && $_->{gpus} >= $c->{gpus} && $_->{frameworks} =~ /\b$c->{framework}\b/ }
	  possible($self->{workers}{$worker}, $op);
}

# ------------------------------------------------------------- the journal

sub describe { my ($c) = @_; return '[' . join(' ', map { "$_=" . ($c->{$_} // '') } @facts[ 0 .. 8 ]) . ']'; }

# One entry: [n, op, what, id, typed, facts]; next: the entry of the same row that follows.
sub enter
{
	my ($self, $op, $entry, $next) = @_;
	my ($n, undef, $what, $id, $typed, $facts) = @$entry;
	$self->{history}{$id} .= "      $what by $op->{id} $op->{kind}: $facts\n" if $ENV{BENCHORCH_RANDOM_HISTORY};
	my @facts_now = split /,/, $facts, -1;

	if ($what eq 'A')
	{
		my %attempt;
		@attempt{qw(claim worker outcome blamed status)} = @facts_now;
		push @{ $self->{attempts}{$id} }, { %attempt, was_blamed => $attempt{blamed}, op => $op->{id} };
		$op->{attempt}{$id} = \%attempt;
		return;
	}
	if ($what eq 'R')			# refunded or forgiven
	{
		my ($attempt) = grep { $_->{claim} == $facts_now[0] } @{ $self->{attempts}{$id} };
		$attempt->{refunded} = $op;
		push @{ $op->{refunds} }, "$id $facts_now[0]";
		$self->problem($op, "attempt of config $id is refunded") unless $op->{kind} eq 'retry'
		  || grep { $_ eq $attempt->{worker} } $self->blamable($op);
		return;
	}
	if ($what eq 'W')			# its retry time has come
	{
		my $timeline = $self->{configs}{$id} or return;
		add($timeline, $op, become($timeline->[-1][2], due => $facts_now[0])) if $timeline->[-1][2]{waits};
		return;
	}
	return add($self->{models}{$id} ||= [], $op, { paused => $facts_now[0], finalized => $facts_now[1], op => $op->{id} }) if $what eq 'M';
	return add($self->{leases}{$id} ||= [], $op, { expired => $facts_now[0], lane => $facts_now[1] }) if $what eq 'L';
	if ($what eq 'V')
	{
		my %worker;
		@worker{qw(state hardware gpus frameworks)} = @facts_now;
		$worker{frameworks} =~ tr/;/ /;
		return add($self->{workers}{$id} ||= [], $op, \%worker);
	}

	my %now;
	@now{@facts} = @facts_now;
	if ($what eq 'I')
	{
		$op->{inserted}++;
		$self->problem($op, "config $id is created as " . describe(\%now)) unless $op->{kind} eq 'insert'
		  && $now{status} eq 'pending' && !$now{claim} && !$now{attempt} && !$now{retry_count};
		add($self->{configs}{$id} = [], $op, { %now, due => 0 });
		return;
	}
	# what is typed is mended at once: only what becomes of it counts
	return if ($typed eq 't' || $op->{kind} eq 'typed') && $next && $next->[1] == $entry->[1];

	my $before = $self->{configs}{$id}[-1][2];
	my @steps = $steps{ $op->{kind} }->($self, $op, $id, $before);
	$now{status} = 'gone' if $what eq 'D';
	my ($step) = grep { my $to = $_->{state}; !grep { ($to->{$_} // '') ne $now{$_} } @facts[ 0 .. 8 ] } @steps;
	if ($step && $step->{attempt})
	{
		my $written = $op->{attempt}{$id} // {};
		my @wrong = grep { ($written->{$_} // '') ne $step->{attempt}{$_} } qw(claim worker outcome blamed status);
		$self->problem($op, "the attempt of config $id is on record with other than @{$step->{attempt}}{@wrong}: "
			. join ' ', map { "$_=" . ($written->{$_} // '') } @wrong) if @wrong;
		delete $op->{attempt}{$id};
	}
	if (!$step)
	{
		$self->problem($op, "config $id went from " . describe($before) . ' to ' . describe(\%now)
			. (@steps ? ', and not to ' . join ' or ', map { "$_->{verb} " . describe($_->{state}) } @steps : ', and there is no such step'));
		$step = { verb => '?', state => { %$before, %now } };
	}
	$self->problem($op, "config $id is $now{status} " . ($now{settled_at} ? 'with' : 'without') . ' a time of its end')
	  if $now{status} ne 'gone' && $now{settled_at} != (open_config(\%now) ? 0 : 1);
	$self->problem($op, "config $id is $now{status} " . ($now{started_at} ? 'with' : 'without') . ' a time of its start')
	  if $now{status} eq 'running' && !$now{started_at} || $now{status} eq 'pending' && $now{started_at};
	$op->{ended}{$id} = $before->{claim} if $before->{status} eq 'running';
	$self->note_success($before) if $step->{verb} eq 'complete';
	$self->note_failure($op, $id, $before, $step) if $step->{attempt};
	# a pair is never used again
	$self->problem($op, "config $id is claimed under a token that it had before")
	  if $step->{verb} eq 'take' && $self->{pairs}{$id}{ $now{claim} }++ && !$op->{rolled_back};
	push @{ $op->{entries} }, { config => $id, verb => $step->{verb}, before => $before, after => $step->{state} };
	add($self->{configs}{$id}, $op, $step->{state});
}

# -------------------------------------- three failures in a row on one worker

sub note_success { my ($self, $c) = @_; my $worker = $self->worker_of($c); delete $self->{row}{$worker} if defined $worker; }

sub note_failure
{
	my ($self, $op, $id, $c, $step) = @_;
	my $worker = $step->{attempt}{worker};

	return if $worker eq '' || !$policies{ $step->{attempt}{outcome} }{suspect};
	my $row = $self->{row}{$worker} = [ (grep { $_ != $id } @{ $self->{row}{$worker} || [] }), $id ];
	return if @$row < 3;
	foreach my $config (@$row)
	{
		return if grep { $_->{worker} ne '' && $_->{worker} ne $worker && $_->{was_blamed} && !$_->{refunded} } @{ $self->{attempts}{$config} };
	}
	foreach my $config (@$row)
	{
		$op->{owes_refunds}{"$config $_->{claim}"} = 1
		  foreach grep { $_->{worker} eq $worker && $_->{was_blamed} && (!$_->{refunded} || $_->{refunded} == $op) } @{ $self->{attempts}{$config} };
	}
	$op->{breaks} = $worker;
	delete $self->{row}{$worker};
}

# ----------------------------------------------------- what an operation owes

# Does the config, in this state, owe a step to the operation?
my %owes = (
	cancel => sub { my ($self, $op, $c) = @_; return $c->{model} == $op->{model} && open_config($c); },
	reprioritize => sub { my ($self, $op, $c) = @_; return $c->{model} == $op->{model} && open_config($c); },
	release => sub { my ($self, $op, $c) = @_; return ($self->worker_of($c) // '') eq $op->{worker} && !($c->{begun} && $op->{waiting}); },
	reset => sub {
		my ($self, $op, $c) = @_;
		return $op->{alone} && ($c->{waits} && $c->{due}) if $c->{status} eq 'pending';
		return 0 if $c->{status} ne 'running';
		my $worker = $self->worker_of($c);
		return $op->{minutes} == 0 if !$worker;
		return $op->{alone} && before($self->{leases}{$worker}, $op)->{expired};
	},
	retry => sub {
		my ($self, $op, $c) = @_;
		return $c->{model} == $op->{model} && !$op->{outcome}
		  && ($c->{status} eq 'failed' || $c->{status} eq 'cancelled' || $c->{status} eq 'skipped' && $c->{witness});
	},
	delete => sub { my ($self, $op, $c, $id) = @_; return $op->{config} ? $id == $op->{config} && $c->{status} ne 'gone' : $c->{status} eq 'completed'; });

sub check_debts
{
	my ($self, $op) = @_;
	my $owes = $owes{ $op->{kind} };

	if ($owes && !$op->{sqlstate})
	{
		my %touched = map { $_->{config} => 1 } @{ $op->{entries} };
		foreach my $id ($op->{config} // keys %{ $self->{configs} })
		{
			# not if it came in meanwhile
			next if $touched{$id} || !$self->{configs}{$id} || $self->{configs}{$id}[0][1] >= $op->{from};
			my @states = possible($self->{configs}{$id}, $op);
			# one claim throughout
			next if !@states || grep { $_->{claim} != $states[0]{claim} } @states;
			$self->problem($op, "config $id, " . describe($states[0]) . ', was left out') if every(sub { $owes->($self, $op, $_[0], $id) }, @states);
		}
	}
	$self->problem($op, 'attempts without a step: configs ' . join ' ', keys %{ $op->{attempt} }) if %{ $op->{attempt} || {} };
	return unless $op->{alone} && $self->{exact};

	# a fault costs the worker what it held
	if ($op->{kind} eq 'release' && $op->{outcome} =~ /_fault$/ && !$op->{sqlstate})
	{
		my $worker = after($self->{workers}{ $op->{worker} }, $op);
		my @held = map { $_->{after}{framework} } @{ $op->{entries} };
		my $all = $op->{outcome} eq 'gpu_fault' || !@held;
		$self->problem($op, "the worker is $worker->{state} with frameworks ($worker->{frameworks}) and held some of (@held)")
		  if $worker->{state} ne 'quarantined' && ($all || grep { $worker->{frameworks} =~ /\b$_\b/ } @held);
	}

	# the breaker, exactly
	if ($op->{kind} eq 'fail' || $op->{kind} eq 'update')
	{
		my %owed = %{ $op->{owes_refunds} || {} };
		my @refunds = @{ $op->{refunds} || [] };
		$self->problem($op, "refunded were (@refunds), and not (" . join(', ', sort keys %owed) . ')')
		  if join(',', sort @refunds) ne join(',', sort keys %owed);
		if ($op->{breaks})
		{
			$self->problem($op, 'the worker is not quarantined') if after($self->{workers}{ $op->{breaks} }, $op)->{state} ne 'quarantined';
			my $configs = $self->configs_after($op);
			foreach my $id (keys %$configs)
			{
				my $c = $configs->{$id};
				$self->problem($op, "config $id still waits at the worker that is quarantined")
				  if $c->{status} eq 'running' && !$c->{begun} && ($self->worker_of($c) // '') eq $op->{breaks};
			}
		}
	}
	# dominated configs, exactly
	if ($op->{kind} eq 'fail' && $op->{outcome} eq 'gpu_oom' && ($op->{free} // 0) >= 0.95 && grep { $_->{verb} eq 'end_attempt' } @{ $op->{entries} })
	{
		my $configs = $self->configs_after($op);
		foreach my $id (keys %$configs)
		{
			my $c = $configs->{$id};
			$self->problem($op, "config $id needs no less memory, and was not skipped") if $c->{status} eq 'pending' && $self->dominated($op, $c);
		}
	}
}

# ------------------------------------------------------------------- claims

sub check_claim
{
	my ($self, $op) = @_;
	my @taken = grep { $_->{verb} eq 'take' } @{ $op->{entries} };
	my $told = join ' ', sort map { "$_->[0]:$_->[1]:$_->[2]" } @{ $op->{rows} };
	my $made = join ' ', sort map { "$_->{config}:$_->{after}{claim}:$_->{after}{attempt}" } @taken;

	$self->problem($op, "it took ($made) and told ($told)") if $made ne $told;
	$self->problem($op, 'it took more than was asked for') if @taken > $op->{wanted};
	foreach my $entry (@taken)
	{
		my @paused = possible($self->{models}{ $entry->{before}{model} }, $op);
		$self->problem($op, "config $entry->{config} is of a paused model") if every(sub { $_[0]{paused} }, @paused);
	}
	my %lanes = map { $_->{before}{lane} => 1 } @taken;
	$self->problem($op, 'it took of several lanes') if $op->{worker} && keys %lanes > 1;
	if ($op->{worker})
	{
		my @states = possible($self->{workers}{ $op->{worker} }, $op);
		$self->problem($op, 'the worker may not claim') if @taken && every(sub { $_[0]{state} ne 'active' }, @states);
		return if !$op->{alone} || $states[0]{state} ne 'active';
	}
	return unless $op->{alone};

	# alone: what it left behind
	my @left;
	my $configs = $self->configs_after($op);
	foreach my $id (keys %$configs)
	{
		my $c = $configs->{$id};
		next if $c->{status} ne 'pending';
		$self->problem($op, "config $id was not woken") if $c->{waits} && $c->{due};
		next if $c->{waits} || $c->{priority} > $op->{threshold} || $op->{model} && $op->{model} != $c->{model}
		  || after($self->{models}{ $c->{model} }, $op)->{paused} || $op->{worker} && !$self->fits($op, $op->{worker}, $c);
		push @left, $c;
	}
	my ($first) = sort { $a <=> $b } map { $_->{priority} } @left;
	if (!$op->{worker})
	{
		$self->problem($op, @left . " more could be claimed, and it took only " . @taken) if @left && @taken < $op->{wanted};
		my ($last) = sort { $b <=> $a } map { $_->{before}{priority} } @taken;
		$self->problem($op, "it took priority $last and left $first") if @left && @taken && $last > $first;
		return;
	}
	@left = grep { ($_->{avoid} // '') ne $op->{worker} } @left;
	$self->problem($op, @left . ' could be claimed, and it took none') if @left && !@taken;
	# the warm lane
	my $warm = (before($self->{leases}{ $op->{worker} }, $op) // {})->{lane} or return;
	my @warm = sort { $a <=> $b } map { $_->{priority} } grep { $_->{lane} == $warm } @left;
	$self->problem($op, "it left its warm lane $warm (priority $warm[0]) for " . join ',', keys %lanes)
	  if @warm && !$lanes{$warm} && $warm[0] - $taken[0]{before}{priority} <= 1000;
}

# ------------------------------------------------------------------ answers

# Whether an answer (a status, or what refused it) for one pair can be explained where no step was made.
sub explained
{
	my ($self, $op, $pair, $answer) = @_;
	my ($id, $claim) = @$pair;
	my @states = possible($self->{configs}{$id}, $op);
	my $to = $op->{to_status};

	@states = ({ status => 'gone', claim => 0 }) if !@states;
	return grep { $_->{status} eq 'gone' } @states if $answer eq '42704';
	# the same status again
	return grep { $_->{status} eq $answer && (!$claim || $_->{claim} == $claim) } @states if $to && $answer eq $to;
	return grep { !held($_, $claim) } @states if $claim && $answer eq 'BO001';
	return !$claim && $to && $answer eq 'BO002'
	  && grep { $_->{status} ne 'gone' && $_->{status} ne $to && !$may_follow{ $_->{status} }{$to} } @states;
}

sub check_pair
{
	my ($self, $op, $pair, $row) = @_;
	my ($id, $claim) = @$pair;
	my ($entry) = grep { $_->{config} == $id && $_->{verb} =~ /^(start|complete|end_attempt|settle|put_back)$/
		&& (!$claim || $_->{before}{claim} == $claim) } @{ $op->{entries} };
	my $answer = $row->[0] // '';

	if ($op->{answers} eq 'hand_in')	# accepted, status, result_id
	{
		my ($accepted, $status, $result) = @$row;
		my $known = $self->{resulted}{"$id $claim"};

		if ($accepted eq 't')
		{
			my ($ended) = grep { $_->{claim} == $claim } @{ $self->{attempts}{$id} || [] };
			$self->problem($op, 'accepted, and nobody knows why') unless $entry || $known && $known->{accepted} && $known->{from} <= $op->{to} || $ended;
			$self->problem($op, "told $status, and is $entry->{after}{status}") if $entry && $entry->{after}{status} ne $status;
		}
		else
		{
			$self->problem($op, 'refused, though its claim holds the config') if $entry || !$self->explained({ %$op, to_status => '' }, $pair, 'BO001');
			my @states = possible($self->{configs}{$id}, $op);
			$self->problem($op, "told $status, which it is not")
			  if $status ne '' && @states && !grep { $_->{status} eq $status || $_->{status} eq 'gone' } @states;
		}
		$self->problem($op, "result $result, and before $known->{id}") if $known && $result ne '' && $known->{id} != $result;
		return;
	}
	my $refused = $answer =~ /^[0-9A-Z]{5}$/ && $answer =~ /\d/ ? $answer : '';
	if ($op->{answers} eq 'result')	# the id, or what refused it
	{
		my $known = $self->{resulted}{"$id $claim"};
		return $self->problem($op, "config $id: accepted, and nobody knows why") if !$refused && !$entry && !($known && $known->{accepted});
		return $self->problem($op, "config $id: $refused, though its claim holds it") if $refused && ($entry || !$self->explained($op, $pair, $refused));
		$self->problem($op, "result $answer, and before $known->{id}") if !$refused && $known && $answer ne '' && $known->{id} != $answer;
		return;
	}
	# a status, or '' where it was done and the call says no more
	return $self->problem($op, "config $id: $refused, and its state is no reason") if $refused && ($entry || !$self->explained($op, $pair, $refused));
	return if $refused;
	if (!$entry)
	{
		my $known = $self->{resulted}{"$id $claim"};
		$self->problem($op, "config $id: told as done, and was not")
		  unless $known && $known->{accepted} || $op->{to_status} && $self->explained($op, $pair, $op->{to_status});
		return;
	}
	$self->problem($op, "config $id: told $answer, and is $entry->{after}{status}") if $answer ne '' && $answer ne $entry->{after}{status};
}

sub check_answer
{
	my ($self, $op) = @_;
	my $entries = $op->{entries} || [];
	my $answers = $op->{answers} // '';
	my $first = $op->{rows}[0] && $op->{rows}[0][0];

	return $self->problem($op, "refused: $op->{message}") if $op->{sqlstate} && ($op->{may_refuse} // '') !~ /$op->{sqlstate}/;
	return $self->check_claim($op) if $op->{kind} eq 'claim';
	if ($op->{kind} eq 'next')
	{
		$self->check_pair({ %$op, answers => 'status' }, $op->{pairs}[0], [ $op->{sqlstate} || 'completed' ]);
		return $op->{sqlstate} ? undef : $self->check_claim($op);
	}
	if ($answers eq 'count')
	{
		my $n = $op->{kind} eq 'reset' ? grep { $_->{verb} eq 'lost' } @$entries : $op->{kind} eq 'insert' ? $op->{inserted} // 0 : @$entries;
		$self->problem($op, "told $first, and were $n") if $first != $n;
	}
	elsif ($answers eq 'many')		# a row for each pair: id, sqlstate, and of results their id
	{
		my @pairs = @{ $op->{pairs} };
		return $self->problem($op, 'rows are missing') if @pairs != @{ $op->{rows} };
		foreach my $i (0 .. $#pairs)
		{
			# the same pair again finds what the first has left
			next if grep { $pairs[$_][0] == $pairs[$i][0] } 0 .. $i - 1;
			$self->check_pair({ %$op, answers => 'status' }, $pairs[$i], [ $op->{rows}[$i][1] ]);
		}
	}
	elsif ($answers eq 'verdicts')	# config, verdict, claim of those that are to be dropped
	{
		my %verdict = map { $_->[0] => $_->[1] } @{ $op->{rows} };
		foreach my $row (@{ $op->{rows} })
		{
			my ($id, undef, $claim) = @$row;
			$self->problem($op, "config $id is not to be dropped") if every(sub { held($_[0], $claim || 0) }, possible($self->{configs}{$id}, $op));
		}
		foreach my $id (@{ $op->{running} })
		{
			my @states = possible($self->{configs}{$id}, $op);
			my @its = grep { ($self->worker_of($_) // '') eq $op->{worker} } @states;
			$self->problem($op, "config $id is no longer its") if !$verdict{$id} && !@its && @states;
			$self->problem($op, "config $id was not cancelled") if ($verdict{$id} // '') eq 'cancelled' && !grep { $_->{status} eq 'cancelled' } @states;
		}
	}
	elsif ($answers eq 'finalize' && $op->{alone})
	{
		my $work = grep { my $c = before($_, $op); $c && open_config($c) && $c->{model} == $op->{model} } values %{ $self->{configs} };
		$self->problem($op, "there were $work configs open") if $op->{sqlstate} ? !$work || $op->{partial} : $work && !$op->{partial};
	}
	elsif ($answers eq 'progress' && $op->{alone})
	{
		my %n;
		$n{ $_->{status} }++ foreach grep { $_->{model} == $op->{model} } values %{ $self->configs_after($op) };
		my $count = join '|', map { $n{$_} // 0 } qw(pending running completed failed skipped cancelled);
		$self->problem($op, "told, and counted $count") if $count ne join '|', @{ $op->{rows}[0] };
	}
	elsif ($answers eq 'hand_in' || $answers eq 'result' || $answers eq 'status')
	{
		my $pair = $op->{pairs}[0];
		return $self->check_pair({ %$op, answers => $op->{sqlstate} ? 'status' : $answers }, $pair, $op->{sqlstate} ? [ $op->{sqlstate} ] : $op->{rows}[0] // ['']);
	}
}

# A model is finalized only while nothing of it is open, and in the end always.
sub check_ends
{
	my ($self, $op) = @_;
	my (%all, %open);

	foreach my $c (values %{ $self->configs_after($op) })
	{
		$all{ $c->{model} }++;
		$open{ $c->{model} }++ if open_config($c);
	}
	foreach my $model (keys %{ $self->{models} })
	{
		my $finalized = after($self->{models}{$model}, $op)->{finalized};
		$self->problem($op, "model $model is finalized, and $open{$model} configs are open") if $finalized && $open{$model};
		$self->problem($op, "model $model is settled, and not finalized") if !$finalized && $all{$model} && !$open{$model};
	}
}

# ------------------------------------------------------------------ a round

# Everything that happened between two moments of rest: operations, and the journal in its order.
sub check
{
	my ($self, $ops, $journal) = @_;
	my %by_id = map { $_->{id} => $_ } @$ops;
	my @in_time = sort { $a->{from} <=> $b->{from} } @$ops;
	my (%next, @following);

	# an operation is alone if none before it has still been going on, and none began before its end
	my $latest = 0;
	foreach my $i (0 .. $#in_time)
	{
		my $op = $in_time[$i];
		$op->{alone} = $op->{from} > $latest && ($i == $#in_time || $in_time[ $i + 1 ]{from} > $op->{to}) ? 1 : 0;
		$latest = $op->{to} if $op->{to} > $latest;
		$self->{alone} += $op->{alone};
		# who holds what: the token says
		$op->{token} = $op->{rows}[0] ? $op->{rows}[0][1] : 0 if $op->{kind} =~ /^(claim|next)$/;
		$self->{claims}{ $op->{token} } = $op->{worker} if $op->{token};
	}
	foreach my $i (reverse 0 .. $#$journal)
	{
		my $entry = $journal->[$i];
		next unless $entry->[2] =~ /[UD]/;
		$following[$i] = $next{ $entry->[3] };
		$next{ $entry->[3] } = $entry;
	}
	foreach my $i (0 .. $#$journal)
	{
		my $op = $by_id{ $journal->[$i][1] } or die "nobody knows operation $journal->[$i][1]\n";
		$self->enter($op, $journal->[$i], $following[$i]);
	}
	# results that were told, the first of each pair
	foreach my $op (sort { $a->{to} <=> $b->{to} } grep { !$_->{rolled_back} && !$_->{sqlstate} } @$ops)
	{
		my $answers = $op->{answers} // '';
		foreach my $i (0 .. $#{ $op->{rows} })
		{
			my $row = $op->{rows}[$i];
			my ($id, $accepted) = $answers eq 'result' ? ($row->[0], 't') : $answers eq 'hand_in' ? @$row[ 2, 0 ]
				: $answers eq 'many' && @$row > 2 ? ($row->[2], $row->[1] eq '' ? 't' : 'f') : next;
			$self->{resulted}{"$op->{pairs}[$i][0] $op->{pairs}[$i][1]"} //= { id => $id, accepted => $accepted eq 't', from => $op->{from} } if $id ne '';
		}
	}
	foreach my $op (@in_time)
	{
		next if $op->{rolled_back};
		$self->check_answer($op);
		$self->check_debts($op);
		$self->check_ends($op) if $op->{alone} && ($op->{kind} =~ /^(claim|reset|heartbeat)$/ || $op->{kind} eq 'next' && !$op->{sqlstate});
		delete $op->{configs_after};
	}
	# at rest: only the last states of what is there count from here on
	delete @{ $self->{configs} }{ grep { $self->{configs}{$_}[-1][2]{status} eq 'gone' } keys %{ $self->{configs} } };
	foreach my $rows (@$self{qw(configs workers models leases)})
	{
		@$_ = ($_->[-1]) foreach grep { @$_ } values %$rows;
	}
	return splice @{ $self->{problems} };
}

# The statuses that the reference has at rest: "id status claim", to compare with the table.
sub picture
{
	my ($self) = @_;
	return join "\n", map { my $c = $self->{configs}{$_}[-1][2]; join '|', $_, @$c{ @facts[ 0 .. 8 ] } }
	  sort { $a <=> $b } keys %{ $self->{configs} };
}

1;
