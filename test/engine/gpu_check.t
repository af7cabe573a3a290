#!/usr/bin/perl
#
# gpu_check.t: make gpu-check on a machine without a GPU says that it has checked
# nothing, and not that all is well; and with an emulated one it comes to its end:
# cells, stream, NVML and the tables.

use strict;
use warnings;

use Test::More;

my $output;

SKIP:
{
	skip('there is a GPU here: make gpu-check checks it', 2) if -e '/dev/nvidiactl';
	$output = `test/gpu-check 2>&1`;
	is($? >> 8, 77, 'the exit status of having skipped') or diag($output);
	like($output, qr/^gpu-check: nothing was checked: .*(no nvcc|no GPU can be used)/m, 'and the reason');
}

SKIP:
{
	skip('there is no g++ for the emulated GPU', 4) unless -e 'build/rehearsal/benchorch-engine-cuda.so';
	$output = `test/gpu-check --rehearse 2>&1`;
	is($? >> 8, 0, 'a rehearsal succeeds') or diag($output);
	my @goals = $output =~ /\| (met|missed|not measured) \|$/mg;
	is(scalar @goals, 6, 'a line for each goal') or diag($output);
	# a busy machine has no time for some calibration
	cmp_ok(scalar(grep { $_ ne 'not measured' } @goals), '>=', 3, 'most of them measured') or diag($output);
	unlike($output, qr/used in|uninitialized|line \d+/, 'without a complaint');
}
done_testing();
