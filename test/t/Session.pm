# A psql that stays: one statement after the other, each with what came back.
# Where a statement must wait for somebody, send() it, do something else, and
# take() the answer later.
package Session;
use strict;
use warnings FATAL => 'all';

use IO::Handle;
use IPC::Open2;

# new Session($node->connstr('postgres'))
sub new
{
	my ($class, $connstr) = @_;
	my $self = bless {}, $class;

	$self->{pid} = open2($self->{out}, $self->{in}, 'sh', '-c', 'exec psql "$@" 2>/dev/null', 'psql', '-XAtq', '-F', '|', '-d', $connstr);
	$self->{in}->autoflush(1);
	# what went wrong is told by :SQLSTATE
	print { $self->{in} } "SET client_min_messages = panic;\n";
	$self->{backend} = $self->do('SELECT pg_backend_pid()')->{rows}[0][0];
	return $self;
}

sub send
{
	my ($self, $sql) = @_;
	print { $self->{in} } "$sql;\n\\echo =END= :SQLSTATE :LAST_ERROR_MESSAGE\n";
}

# {rows => [[column, ...], ...], sqlstate => '' or five letters, message => ...}
sub take
{
	my ($self) = @_;
	my @rows;

	while (defined(my $line = readline $self->{out}))
	{
		chomp $line;
		if ($line =~ /^=END= (\w{5}) ?(.*)/)
		{
			my $ok = $1 eq '00000';
			return { rows => \@rows, sqlstate => $ok ? '' : $1, message => $ok ? '' : $2 };
		}
		push @rows, [ split /\|/, $line, -1 ];
	}
	return { rows => \@rows, sqlstate => '57P01', message => 'the session has ended' };
}

sub do
{
	my ($self, $sql) = @_;
	$self->send($sql);
	return $self->take;
}

sub close
{
	my ($self) = @_;
	CORE::close $self->{in};
	waitpid $self->{pid}, 0;
}

1;
