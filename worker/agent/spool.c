/*
 * Results on disk, from their run's end until the database has taken them.
 *
 * One file a result, DIRECTORY/IDENTITY/CONFIG-CLAIM.result: a line of text
 * that says how long each part is, then the parts.  Written under another name
 * and renamed, so that a file with the right name is whole; a checksum tells
 * what a failing disk has made of it.  Identity is the database's, so that a
 * result never goes to another one.
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
#include <time.h>
#include <unistd.h>

#define HEADER_FORMAT "benchorch-result 1 %s %s %s %d %zu %zu %zu %08" PRIx32 "\n"
#define SUFFIX ".result"
#define UNFINISHED ".new"
#define UNFINISHED_SECONDS 60	/* since it was last written to */

static char *base;				/* the directory of all databases */
static char *directory;			/* of this one; NULL: there is no spool */
static int	directory_fd = -1;
static DIR *listing;			/* of spool_next */

/* ------------------------------------------------------------- directories */

/* Makes a directory for us alone; false with errno. */
static bool
make_directory(const char *path)
{
	struct stat info;

	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return false;
	if (lstat(path, &info) < 0)
		return false;
	if (S_ISDIR(info.st_mode) && info.st_uid == geteuid())
		return true;
	errno = EPERM;
	return false;
}

static void
tell(const char *what, const char *path)
{
	log_message(LOG_ERROR, "spool_failed", "could not %s %s: %s; results are not safe if this worker dies", what, path,
				strerror(errno));
}

bool
spool_open(const char *new_base, const char *identity)
{
	base = xstrdup(new_base);
	directory = xprintf("%s/%s", base, identity);
	if (make_directory(base) && make_directory(directory) &&
		(directory_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) >= 0)
		return true;
	tell("use", directory);
	free(directory);
	directory = NULL;
	return false;
}

void
spool_close(void)
{
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

static char *
path_of(const Result *result, const char *suffix)
{
	return xprintf("%s/%s-%s%s", directory, result->config_id, result->claim_id, suffix);
}

static bool
write_all(int fd, const Buffer *buffer)
{
	size_t		done = 0;

	while (done < buffer->len)
	{
		ssize_t		n = write(fd, buffer->data + done, buffer->len - done);

		if (n < 0 && errno != EINTR)
			return false;
		done += n > 0 ? n : 0;
	}
	return true;
}

void
spool_write(Result *result)
{
	Buffer		header = {0};
	char	   *unfinished, *path;
	int			fd;

	if (directory == NULL)
		return;
	unfinished = path_of(result, UNFINISHED);
	path = path_of(result, SUFFIX);
	buffer_printf(&header, HEADER_FORMAT, result->config_id, result->claim_id, result->outcome, result->has_output,
				  result->output.len, result->log.len, result->details.len, result_checksum(result));
	fd = open(unfinished, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd >= 0 && flock(fd, LOCK_EX) == 0 && write_all(fd, &header) && write_all(fd, &result->output) &&
		write_all(fd, &result->log) && write_all(fd, &result->details) && rename(unfinished, path) == 0)
		result->spooled = fd;
	else
	{
		tell("write", unfinished);
		unlink(unfinished);
		if (fd >= 0)
			close(fd);
	}
	buffer_free(&header);
	free(unfinished);
	free(path);
}

void
spool_flush(const Result *result)
{
	if (result->spooled > 0 && (fsync(result->spooled) < 0 || fsync(directory_fd) < 0))
		tell("flush", directory);
}

void
spool_let_go(Result *result)
{
	if (result->spooled > 0)
		close(result->spooled);
	result->spooled = 0;
}

void
spool_remove(Result *result)
{
	char	   *path;

	if (result->spooled <= 0)
		return;
	path = path_of(result, SUFFIX);
	unlink(path);
	free(path);
	spool_let_go(result);
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
	int			has_output, header_len = 0;
	size_t		output_len, log_len, details_len;
	uint32_t	crc;
	const char *from;

	if (sscanf(file->data, "benchorch-result 1 %20s %20s %20s %d %zu %zu %zu %8" SCNx32 "%n", config_id, claim_id,
			   outcome, &has_output, &output_len, &log_len, &details_len, &crc, &header_len) != 8 ||
		file->data[header_len++] != '\n' || output_len > file->len || log_len > file->len || details_len > file->len ||
		header_len + output_len + log_len + details_len != file->len)
		return false;
	from = file->data + header_len;
	result->config_id = xstrdup(config_id);
	result->claim_id = xstrdup(claim_id);
	result->outcome = xstrdup(outcome);
	result->has_output = has_output;
	buffer_append(&result->output, from, output_len);
	buffer_append(&result->log, from + output_len, log_len);
	buffer_append(&result->details, from + output_len + log_len, details_len);
	return result_checksum(result) == crc;
}

/* What a process has left that died while it wrote: nobody locks it, and nobody can be about to. */
static void
remove_unfinished(const char *path)
{
	struct stat info;
	int			fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0 && fstat(fd, &info) == 0 &&
		info.st_mtime < time(NULL) - UNFINISHED_SECONDS)
		unlink(path);
	if (fd >= 0)
		close(fd);
}

static void
set_aside(const char *path)
{
	char	   *aside = xprintf("%s.damaged", path);

	if (rename(path, aside) == 0)
		log_message(LOG_ERROR, "spool_damaged", "a result in the spool is damaged; it is kept as %s", aside);
	free(aside);
}

static bool
ends_with(const char *name, const char *end)
{
	size_t		len = strlen(name), end_len = strlen(end);

	return len > end_len && strcmp(name + len - end_len, end) == 0;
}

/* Reads one file of the spool; false where it is none of a process that has ended, or damaged. */
static bool
read_file(const char *path, Result *result)
{
	Buffer		file = {0};

	bool		good = false;
	int			fd = take_file(path, &file);

	if (fd >= 0)
	{
		result->spooled = fd;
		good = parse(&file, result);
		if (!good)
		{
			set_aside(path);
			spool_let_go(result);
			result_free(result);
		}
	}
	buffer_free(&file);
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

		if (ends_with(entry->d_name, UNFINISHED))
			remove_unfinished(path);
		else if (ends_with(entry->d_name, SUFFIX))
			found = read_file(path, result);
		free(path);
	}
	if (listing != NULL && !found)
	{
		closedir(listing);
		listing = NULL;
	}
	return found;
}
