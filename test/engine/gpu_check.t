#!/usr/bin/perl
#
# gpu_check.t: make gpu-check on a machine without a GPU says that it has checked
# nothing, and not that all is well.

use strict;
use warnings;

use Test::More;

plan skip_all => 'there is a GPU here: make gpu-check checks it' if -e '/dev/nvidiactl';

my $output = `test/gpu-check 2>&1`;
is($? >> 8, 77, 'the exit status of having skipped') or diag($output);
like($output, qr/^gpu-check: nothing was checked: .*(no nvcc|no GPU can be used)/m, 'and the reason');
done_testing();
