# shellcheck shell=bash
# A copy of the tree, built and staged in a temporary directory and served by
# a private cluster on a unix socket: what the benches share.  To be sourced,
# from the top of the tree.
# shellcheck source=test/cluster.sh
. test/cluster.sh

# ------------------------------------------- outside: a copy, and who runs it

# Huge pages for a server with 1 GB of shared buffers, where root may reserve them: without them a server of a hundred
# processes spends much of its time on page faults, on virtual machines above all, and every figure is the machine's.
# They are given back in the end.
huge_pages=/proc/sys/vm/nr_hugepages
huge_pages_before=
reserve_huge_pages()
{
	local wanted=700

	[ "$(id -u)" = 0 ] && [ -w "$huge_pages" ] || return 0
	huge_pages_before=$(cat "$huge_pages")
	[ "$(awk '/^HugePages_Free/ { print $2 }' /proc/meminfo)" -lt "$wanted" ] || return 0
	echo $((huge_pages_before + wanted)) >"$huge_pages" 2>/dev/null || true
}

# shows whether the server has them
tell_huge_pages()
{
	if grep -q 'KernelPageSize: *2048 kB' "/proc/$postmaster/smaps" 2>/dev/null; then
		echo 'The server has huge pages.'
	else
		echo 'The server has no huge pages (root reserves them for a bench, where the machine lets it).'
	fi
}

# run_inside SCRIPT FILE ARGUMENT...: runs SCRIPT --inside DIRECTORY ARGUMENT... on a copy of the tree, as the owner of
# the cluster; what it leaves in DIRECTORY/json becomes FILE.
run_inside()
{
	local script=$1 status

	json=$2
	shift 2
	choose_owner
	tmp=$(owned_directory benchorch-bench) || exit 1
	mkdir "$tmp/tree" "$tmp/home" "$tmp/tmp"
	trap 'clean_up' EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM HUP
	copy_tree "$PWD" "$tmp/tree"
	[ ! -d build/bench-peers/systems ] || cp -R build/bench-peers/systems "$tmp/peers"
	[ "$(id -u)" != 0 ] || chown -R "$owner" "$tmp"
	mkdir -p "$(dirname "$json")" && : >"$json" || exit 1
	reserve_huge_pages

	(
		cd "$tmp/tree" || exit 1
		as_owner setsid --wait env -i PATH="$(owner_path)" HOME="$tmp/home" TMPDIR="$tmp/tmp" LANG=C.UTF-8 \
			TERM="${TERM:-dumb}" PG_CONFIG="$pg_config" "$script" --inside "$tmp" "$@" </dev/null
	) &
	wait $!
	status=$?
	[ "$status" != 0 ] || echo "Each run: $json"
	exit "$status"
}

# shellcheck disable=SC2154 # choose_owner sets the owner
clean_up()
{
	local session pid

	trap '' INT TERM HUP
	session=$(cat "$tmp/session" 2>/dev/null)
	for pid in ${session:+$(pgrep -s "$session")}; do
		kill -TERM "$pid" 2>/dev/null
	done
	wait
	[ ! -f "$tmp/json" ] || cp "$tmp/json" "$json"
	[ -z "$huge_pages_before" ] || echo "$huge_pages_before" >"$huge_pages"
	rm -rf "$tmp"
}

# ------------------------------------------------------ inside: build and serve

# quietly COMMAND...: its output only where it fails
quietly()
{
	"$@" >"$tmp/log" 2>&1 || { tail -n 60 "$tmp/log"; fail "FAILED: $*"; }
}

# begin_inside DIRECTORY: what everything below stands on
begin_inside()
{
	tmp=$1
	echo $$ >"$tmp/session"
	bindir=$("$pg_config" --bindir)
	export PATH=$bindir:$PATH PGHOST=$tmp/socket PGUSER=postgres PGOPTIONS='-c client_min_messages=warning'
	trap '"$bindir/pg_ctl" -D "$tmp/data" -m immediate stop >/dev/null 2>&1' EXIT
	trap 'exit 143' TERM
}

# The extension alone, staged.
build_extension()
{
	local script library share

	script=benchorch--$(sed -n "s/^default_version = '\(.*\)'/\1/p" benchorch.control).sql
	library=$tmp/stage$("$pg_config" --pkglibdir)
	share=$tmp/stage$("$pg_config" --sharedir)/extension
	quietly make -j"$(nproc)" with_llvm=no benchorch.so "$script"
	mkdir -p "$library" "$share"
	cp benchorch.so "$library/" && cp benchorch.control "$script" "$share/" || exit 1
}

# build_program NAME SOURCE...: $tmp/NAME
build_program()
{
	local name=$1

	shift
	quietly gcc -std=gnu11 -O2 -Wall -Wextra -Werror -I"$("$pg_config" --includedir)" -o "$tmp/$name" "$@" \
		-L"$("$pg_config" --libdir)" -lpq -lm -lpthread
}

# start_cluster SETTING...: sets postmaster, the process
# shellcheck disable=SC2034 # for who sources this
start_cluster()
{
	choose_stage "$tmp/stage"
	quietly "$bindir/initdb" -D "$tmp/data" -A trust -U postgres -E UTF8 --no-locale --no-sync
	mkdir "$tmp/socket"
	{
		[ -z "$stage" ] || echo "extension_destdir = '$stage'"
		echo "listen_addresses = ''"
		echo "unix_socket_directories = '$tmp/socket'"
		printf '%s\n' "$@"
	} >>"$tmp/data/postgresql.conf"
	quietly "$bindir/pg_ctl" -D "$tmp/data" -l "$tmp/server" -w start
	postmaster=$(head -n 1 "$tmp/data/postmaster.pid")
}

sql()
{
	psql -XAtq -v ON_ERROR_STOP=1 "$@"
}

# show_server_errors: the last of what the server refused
show_server_errors()
{
	grep -E 'ERROR|FATAL|PANIC' "$tmp/server" | tail -n 5
}
