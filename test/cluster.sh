# shellcheck shell=bash
# Private clusters: what test/run and test/demo share.  To be sourced.
#
# PostgreSQL refuses to run as root, so root steps down to postgres; anybody
# else stays who they are.

pg_config=${PG_CONFIG:-pg_config}

fail()
{
	echo "$*" >&2
	exit 1
}

# Sets owner, and owner_command: what steps down to it.
choose_owner()
{
	owner=$(id -un)
	owner_command=()
	if [ "$(id -u)" = 0 ]; then
		owner=postgres
		id "$owner" >/dev/null 2>&1 || fail 'PostgreSQL does not run as root, and there is no user postgres to step down to.'
		owner_command=(setpriv --reuid="$owner" --regid="$(id -g "$owner")" --init-groups)
	fi
}

# Runs a command as the owner of the cluster.
as_owner()
{
	"${owner_command[@]}" "$@"
}

# PATH less the directories that the owner cannot read, where programs would be found that cannot be run.
owner_path()
{
	local directory path=

	while read -r -d : directory; do
		! as_owner test -r "$directory" -a -x "$directory" || path=$path:$directory
	done <<<"$PATH:"
	echo "${path#:}"
}

# A new directory in TMPDIR, or in /tmp where the owner cannot get there or a socket's path would be too long.
# Prints its path.
owned_directory()
{
	local name=$1 base directory

	for base in "${TMPDIR:-/tmp}" /tmp; do
		[ "${#base}" -le 50 ] || continue
		directory=$(mktemp -d "$base/$name.XXXXXX") || continue
		chown "$owner" "$directory"
		if as_owner test -w "$directory" 2>/dev/null; then
			echo "$directory"
			return
		fi
		rmdir "$directory"
	done
	fail "The user $owner can write neither to ${TMPDIR:-/tmp} nor to /tmp."
}

# Copies the tree without what git ignores: a build there starts clean, and nothing in the checkout is touched.
copy_tree()
{
	tar --exclude=./.git --exclude=./.demo --exclude=./build --exclude=./results --exclude=./output_iso \
		--exclude=./tmp_check --exclude=./log --exclude=./'benchorch--*.sql' --exclude='*.o' --exclude='*.bc' \
		--exclude='*.so' -C "$1" -cf - . | tar -C "$2" -xf -
}

# Whether the server can load an extension from a directory (a patch that Debian's packages have).
has_extension_destdir()
{
	"$("$pg_config" --bindir)/postgres" --describe-config 2>/dev/null | grep -q '^extension_destdir'
}

has_pg_cron()
{
	[ -f "$("$pg_config" --pkglibdir)/pg_cron.so" ]
}

# The settings of a private cluster: where the extension was staged ('' = it is installed), pg_cron's database.
cluster_settings()
{
	local stage=$1 cron_database=$2

	[ -z "$stage" ] || echo "extension_destdir = '$stage'"
	if has_pg_cron; then
		echo "shared_preload_libraries = 'pg_cron'"
		echo "cron.database_name = '$cron_database'"
		echo 'cron.use_background_workers = on'
		echo 'max_worker_processes = 20'
	fi
}

# Sets stage to the directory that make install has filled, or to '' where the server cannot load from one.
choose_stage()
{
	stage=$1
	has_extension_destdir && return
	stage=
	[ -f "$("$pg_config" --sharedir)/extension/benchorch.control" ] ||
		fail 'This PostgreSQL has no setting extension_destdir (Debian has it), so it can only load what is installed.' \
			'Run make install first, then this again.'
	echo 'This PostgreSQL has no setting extension_destdir, so it loads what make install has installed.'
}
