/*
 * Results on disk, from their run's end until the database has taken them.
 *
 * One file a result, DIRECTORY/IDENTITY/PID-NUMBER.result: a line of text that
 * says how long each part is, then the parts.  The line is written last, so
 * that a file which begins with it is whole; a checksum tells what a failing
 * disk has made of it.  Identity is the database's, so that a result never
 * goes to another one.
 *
 * A process writes over its own files again and again, a longer result's end
 * may stand behind a shorter one: so a result costs one flush, of its bytes,
 * and none of the directory.  What a crash of the machine
 * brings back of a result that had been handed in is handed in once more,
 * which changes nothing.
 *
 * Several workers may share a spool.  One that starts hands in whatever it
 * finds and nobody has locked: the process whose result it is keeps its file
 * open and locked, and a lock ends with its process.
 */
#include "spool.h"

#include "log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEADER_FORMAT "benchorch-result 1 %s %s %s %d %zu %zu %zu %08" PRIx32 "\n"
#define HEADER_SIZE 256			/* filled up with spaces */
#define SUFFIX ".result"
#define KEPT_SIZE 1000000		/* bytes of an empty file */
#define OPEN_TRIES 10

struct SpoolFile
{
	char	   *path;
	int			fd;				/* locked */
	bool		ours;			/* made by this process, which uses it again */
	bool		named;			/* its name survives the machine's end */
	bool		flushed;		/* so do its bytes */
	struct SpoolFile *next;		/* of those that are unused */
};

static char *base;				/* the directory of all databases */
static char *directory;			/* of this one; NULL: there is no spool */
static int	directory_fd = -1;
static DIR *listing;			/* of spool_next */
static SpoolFile *unused;		/* ours, empty */

/* ------------------------------------------------------------- directories */

/* The name of a new directory survives the machine's end only once the one that it stands in is flushed. */
static void
flush_parent(const char *path)
{
	const char *slash = strrchr(path, '/');
	char	   *parent = xprintf("%.*s/", slash ? (int) (slash - path) : 0, path);
	int			fd = open(slash ? parent : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	free(parent);
	/* one that we may not read we cannot flush */
	if (fd >= 0 && fsync(fd) < 0)
		errno = 0;
	if (fd >= 0)
		close(fd);
}

/* Makes a directory for us alone; false with errno. */
static bool
make_directory(const char *path)
{
	struct stat info;

	if (mkdir(path, 0700) == 0)
		flush_parent(path);
	else if (errno != EEXIST)
		return false;
	if (lstat(path, &info) < 0)
		return false;
	if (S_ISDIR(info.st_mode) && info.st_uid == geteuid())
		return true;
	errno = S_ISDIR(info.st_mode) ? EPERM : ENOTDIR;
	return false;
}

static void
tell(const char *what, const char *path)
{
	log_message(LOG_ERROR, "spool_failed",
				"could not %s %s: %s; results are not safe if this worker dies: make room there, or give another "
				"directory with --spool",
				what, path, strerror(errno));
}

/* ------------------------------------------------------------------- files */

static SpoolFile *
new_file(char *path, int fd, bool ours)
{
	SpoolFile  *file = xcalloc(1, sizeof(SpoolFile));

	*file = (SpoolFile){.path = path, .fd = fd, .ours = ours};
	return file;
}

static void
free_file(SpoolFile *file)
{
	close(file->fd);
	free(file->path);
	free(file);
}

static void
remove_path(const char *path)
{
	if (unlink(path) < 0 && errno != ENOENT)
		log_message(LOG_ERROR, "spool_failed",
					"could not remove %s: %s; remove it, or it is handed in again, which changes nothing", path,
					strerror(errno));
}

/* Locks a file that has just been made; false with errno, which is 0 where somebody has removed it before. */
static bool
lock_new(int fd)
{
	struct stat info;
	int			done;

	while ((done = flock(fd, LOCK_EX)) < 0 && errno == EINTR)
		;
	if (done < 0 || fstat(fd, &info) < 0)
		return false;
	errno = 0;
	return info.st_nlink > 0;
}

/* A file under a name that nobody has, locked; NULL with errno. */
static SpoolFile *
make_file(void)
{
	for (int number = 0;; number++)
	{
		char	   *path = xprintf("%s/%d-%d" SUFFIX, directory, (int) getpid(), number);
		int			fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		int			error;

		if (fd >= 0 && lock_new(fd))
			return new_file(path, fd, true);
		error = errno;
		/* not every file system has locks */
		if (fd >= 0 && error != 0)
			unlink(path);
		if (fd >= 0)
			close(fd);
		free(path);
		if (error != (fd >= 0 ? 0 : EEXIST))
		{
			errno = error;
			return NULL;
		}
	}
}

/* Makes the directories and a file; NULL with errno. */
static SpoolFile *
make_first_file(void)
{
	SpoolFile  *file = NULL;

	/* one that ends removes what is empty: perhaps what we have just found */
	for (int tries = 0; tries < OPEN_TRIES && file == NULL; tries++)
	{
		if (directory_fd >= 0)
			close(directory_fd);
		directory_fd = -1;
		if (make_directory(base) && make_directory(directory) &&
			(directory_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) >= 0)
			file = make_file();
		if (file == NULL && errno != ENOENT)
			break;
	}
	return file;
}

bool
spool_open(const char *new_base, const char *identity)
{
	base = xstrdup(new_base);
	directory = xprintf("%s/%s", base, identity);
	/* while it is there nobody removes the directory */
	unused = make_first_file();
	if (unused != NULL)
		return true;
	tell("use", directory);
	free(directory);
	directory = NULL;
	return false;
}

void
spool_close(void)
{
	while (unused != NULL)
	{
		SpoolFile  *file = unused;

		unused = file->next;
		unlink(file->path);
		free_file(file);
	}
	if (listing != NULL)
		closedir(listing);
	listing = NULL;
	if (directory_fd >= 0)
		close(directory_fd);
	directory_fd = -1;
	if (directory != NULL)
		rmdir(directory);
	if (base != NULL)
		rmdir(base);
	free(directory);
	free(base);
	directory = base = NULL;
}

/* ---------------------------------------------------------------- checksum */

/* CRC-32C, continued from crc; begin with 0. */
static uint32_t
checksum(uint32_t crc, const void *bytes, size_t len)
{
	static uint32_t table[256];
	const unsigned char *byte = bytes;

	if (table[1] == 0)
		for (uint32_t i = 0; i < 256; i++)
		{
			table[i] = i;
			for (int bit = 0; bit < 8; bit++)
				table[i] = (table[i] >> 1) ^ (table[i] & 1 ? 0x82F63B78 : 0);
		}
	crc = ~crc;
	for (size_t i = 0; i < len; i++)
		crc = (crc >> 8) ^ table[(crc ^ byte[i]) & 0xFF];
	return ~crc;
}

static uint32_t
result_checksum(const Result *result)
{
	uint32_t	crc = checksum(0, result->config_id, strlen(result->config_id));

	crc = checksum(crc, result->claim_id, strlen(result->claim_id));
	crc = checksum(crc, result->outcome, strlen(result->outcome));
	crc = checksum(crc, result->output.data, result->output.len);
	crc = checksum(crc, result->log.data, result->log.len);
	return checksum(crc, result->details.data, result->details.len);
}

/* ----------------------------------------------------------------- writing */

static bool
write_at(int fd, const char *bytes, size_t len, off_t at)
{
	while (len > 0)
	{
		ssize_t		n = pwrite(fd, bytes, len, at);

		if (n < 0 && errno != EINTR)
			return false;
		n = n > 0 ? n : 0;
		bytes += n;
		len -= n;
		at += n;
	}
	return true;
}

/* The parts, then the line that makes them valid. */
static bool
write_file(int fd, const Result *result)
{
	const Buffer *const parts[] = {&result->output, &result->log, &result->details};
	Buffer		header = {0};
	off_t		at = HEADER_SIZE;
	bool		good = true;

	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
	{
		good = good && write_at(fd, parts[i]->data, parts[i]->len, at);
		at += (off_t) parts[i]->len;
	}
	buffer_printf(&header, HEADER_FORMAT, result->config_id, result->claim_id, result->outcome, result->has_output,
				  result->output.len, result->log.len, result->details.len, result_checksum(result));
	while (header.len < HEADER_SIZE)
		buffer_puts(&header, " ");
	good = good && write_at(fd, header.data, HEADER_SIZE, 0);
	buffer_free(&header);
	return good;
}

void
spool_write(Result *result)
{
	SpoolFile  *file = unused;

	if (directory == NULL)
		return;
	if (file != NULL)
		unused = file->next;
	else if ((file = make_file()) == NULL)
	{
		tell("make a file in", directory);
		return;
	}
	file->flushed = false;
	if (write_file(file->fd, result))
	{
		result->spooled = file;
		return;
	}
	tell("write", file->path);
	unlink(file->path);
	free_file(file);
}

void
spool_flush(Result *result)
{
	SpoolFile  *file = result->spooled;

	if (file == NULL || file->flushed)
		return;
	if (fdatasync(file->fd) < 0 || (!file->named && fsync(directory_fd) < 0))
		tell("flush", file->path);
	file->named = file->flushed = true;
}

void
spool_let_go(Result *result)
{
	if (result->spooled != NULL)
		free_file(result->spooled);
	result->spooled = NULL;
}

/* Without the line it is no result; it keeps its blocks, for the next one, unless they are many. */
static bool
make_empty(int fd)
{
	struct stat info;

	return fstat(fd, &info) == 0 && (info.st_size > KEPT_SIZE ? ftruncate(fd, 0) == 0 : write_at(fd, "", 1, 0));
}

void
spool_remove(Result *result)
{
	SpoolFile  *file = result->spooled;

	result->spooled = NULL;
	if (file == NULL)
		return;
	if (file->ours && make_empty(file->fd))
	{
		file->next = unused;
		unused = file;
		return;
	}
	remove_path(file->path);
	free_file(file);
}

char *
spool_keep_refused(Result *result)
{
	SpoolFile  *file = result->spooled;
	char	   *aside = file != NULL ? xprintf("%s.refused", file->path) : NULL;

	result->spooled = NULL;
	if (file == NULL)
		return NULL;
	if (rename(file->path, aside) < 0)
	{
		free(aside);
		aside = NULL;
	}
	free_file(file);
	return aside;
}

/* ----------------------------------------------------------------- reading */

/* Takes a file that nobody has locked, and reads all of it; its descriptor, or -1. */
static int
take_file(const char *path, Buffer *out)
{
	char		bytes[65536];
	ssize_t		n = -1;
	struct stat info;
	int			fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	buffer_puts(out, "");
	/* once it is locked it may be gone: handed in by another */
	if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0 && fstat(fd, &info) == 0 && info.st_nlink > 0)
		while ((n = read(fd, bytes, sizeof(bytes))) > 0)
			buffer_append(out, bytes, n);
	if (n == 0)
		return fd;
	if (fd >= 0)
		close(fd);
	return -1;
}

/* Takes a file apart; false where it is damaged. */
static bool
parse(const Buffer *file, Result *result)
{
	char		config_id[24], claim_id[24], outcome[24];
	int			has_output;
	size_t		output_len, log_len, details_len;
	uint32_t	crc;
	const char *from;

	if (file->len < HEADER_SIZE ||
		sscanf(file->data, "benchorch-result 1 %20s %20s %20s %d %zu %zu %zu %8" SCNx32, config_id, claim_id, outcome,
			   &has_output, &output_len, &log_len, &details_len, &crc) != 8 ||
		output_len > file->len || log_len > file->len || details_len > file->len ||
		HEADER_SIZE + output_len + log_len + details_len > file->len)
		return false;
	from = file->data + HEADER_SIZE;
	result->config_id = xstrdup(config_id);
	result->claim_id = xstrdup(claim_id);
	result->outcome = xstrdup(outcome);
	result->has_output = has_output;
	buffer_append(&result->output, from, output_len);
	buffer_append(&result->log, from + output_len, log_len);
	buffer_append(&result->details, from + output_len + log_len, details_len);
	return result_checksum(result) == crc;
}

static void
set_aside(const char *path)
{
	char	   *aside = xprintf("%s.damaged", path);

	if (rename(path, aside) == 0)
		log_message(LOG_ERROR, "spool_damaged", "a result in the spool is damaged; it is kept as %s", aside);
	else
		log_message(LOG_ERROR, "spool_damaged", "a result in the spool is damaged: remove %s", path);
	free(aside);
}

static bool
ends_with(const char *name, const char *end)
{
	size_t		len = strlen(name), end_len = strlen(end);

	return len > end_len && strcmp(name + len - end_len, end) == 0;
}

/* Reads one file; false where a living process has it, or there is nothing good in it. */
static bool
read_file(const char *path, Result *result)
{
	Buffer		bytes = {0};
	int			fd = take_file(path, &bytes);
	bool		good = fd >= 0 && parse(&bytes, result);

	if (good)
		result->spooled = new_file(xstrdup(path), fd, false);
	else if (fd >= 0)
	{
		result_free(result);
		/* without the line: what had been handed in, or was never finished */
		if (buffer_text(&bytes)[0] == '\0')
			remove_path(path);
		else
			set_aside(path);
		close(fd);
	}
	buffer_free(&bytes);
	return good;
}

bool
spool_next(Result *result)
{
	struct dirent *entry;
	bool		found = false;

	if (directory != NULL && listing == NULL)
		listing = opendir(directory);
	while (listing != NULL && !found && (entry = readdir(listing)) != NULL)
	{
		char	   *path = xprintf("%s/%s", directory, entry->d_name);

		found = ends_with(entry->d_name, SUFFIX) && read_file(path, result);
		free(path);
	}
	if (listing != NULL && !found)
	{
		closedir(listing);
		listing = NULL;
	}
	return found;
}
