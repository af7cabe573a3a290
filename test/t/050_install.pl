# make install writes below DESTDIR and nowhere else, make uninstall takes it
# all away, and a build without server headers says what is missing.
use strict;
use warnings FATAL => 'all';

use Cwd qw(abs_path);
use File::Find;
use File::Temp;
use FindBin;
use Test::More;

my $top = abs_path("$FindBin::Bin/../..");
my $config = $ENV{PG_CONFIG} || 'pg_config';
my %dir = map { my $d = `$config --$_`; chomp $d; ($_ => $d) } qw(bindir pkglibdir sharedir);
my $stage = File::Temp::tempdir(CLEANUP => 1);
my $umask = umask 022;

delete $ENV{$_} foreach qw(MAKEFLAGS MFLAGS MAKELEVEL);

sub files_below
{
	my @files;
	find({ no_chdir => 1, wanted => sub { push @files, $File::Find::name unless -d } }, @_);
	return sort @files;
}

# What the directories that PostgreSQL really uses have of ours, with times.
sub really_installed
{
	return join "\n", map { "$_ " . (stat)[9] } grep { -e } glob("$dir{bindir}/benchorch* $dir{pkglibdir}/benchorch* "
		. "$dir{pkglibdir}/bitcode/benchorch* $dir{sharedir}/extension/benchorch*");
}

my $before = really_installed();
is(system("cd '$top' && make -s install with_llvm=no DESTDIR='$stage' >/dev/null"), 0, 'make install DESTDIR=...');
is(really_installed(), $before, 'nothing outside DESTDIR is touched');

my ($version) = `sed -n "s/^default_version = '\\(.*\\)'/\\1/p" '$top/benchorch.control'` =~ /(\S+)/;
# the engine's plugin is built where there is nvcc
my @plugins = map { "$dir{bindir}/" . s/.*\///r } glob("$top/build/*.so");
is_deeply([ map { s/^\Q$stage\E//r } files_below($stage) ],
	[ sort @plugins, "$dir{bindir}/benchorch-worker", "$dir{bindir}/benchorch-engine", "$dir{pkglibdir}/benchorch.so",
		"$dir{sharedir}/extension/benchorch.control", "$dir{sharedir}/extension/benchorch--$version.sql" ],
	'installed are the extension and two programs');
is(`'$stage$dir{bindir}/$_' --version`, "$_ $version\n", "$_ has the extension's version") foreach qw(benchorch-worker benchorch-engine);

is(system("cd '$top' && make -s uninstall with_llvm=no DESTDIR='$stage' >/dev/null"), 0, 'make uninstall DESTDIR=...');
is_deeply([ files_below($stage) ], [], 'leaves no file');

like(`cd '$top' && make PG_CONFIG=/nowhere/pg_config 2>&1`, qr/apt-get install postgresql-server-dev-15/,
	'without server headers make names the package');
like(`cd '$top' && make check all 2>&1`, qr/Call make check by itself/, 'make check all is refused');

umask $umask;
done_testing();
