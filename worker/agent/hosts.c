/*
 * Which of a connection string's hosts is tried first, and for how long.
 *
 * libpq goes on to the next host when one refuses.  One that takes the
 * connection and then says nothing, a frozen primary, holds it up, and whoever
 * connects without blocking must watch the time himself; there is no call
 * that passes to the next host.  So the next try begins with another one.
 */
#include "hosts.h"

#include "buffer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define LEAST_SECONDS 2.0		/* as with libpq */

static char *first, *first_address, *first_port;

const char *
hosts_first(void)
{
	return first;
}

const char *
hosts_first_address(void)
{
	return first_address;
}

const char *
hosts_first_port(void)
{
	return first_port;
}

/* What a connection was told, as a new text; NULL for nothing. */
static char *
setting(PGconn *connection, const char *keyword)
{
	PQconninfoOption *options = PQconninfo(connection);
	char	   *value = NULL;

	for (PQconninfoOption *option = options; option != NULL && option->keyword != NULL; option++)
		if (strcmp(option->keyword, keyword) == 0 && option->val != NULL && option->val[0] != '\0')
			value = xstrdup(option->val);
	PQconninfoFree(options);
	return value;
}

double
hosts_patience(PGconn *connection, double otherwise)
{
	char	   *text = setting(connection, "connect_timeout");
	double		seconds = text != NULL ? strtod(text, NULL) : 0;

	free(text);
	return seconds > 0 ? fmax(seconds, LEAST_SECONDS) : otherwise;
}

/* The same list from its second element on; the first comes last. */
static void
turn(char **list, PGconn *connection, const char *keyword)
{
	char	   *now = setting(connection, keyword);
	char	   *comma = now != NULL ? strchr(now, ',') : NULL;

	free(*list);
	*list = comma != NULL ? xprintf("%s,%.*s", comma + 1, (int) (comma - now), now) : NULL;
	free(now);
}

void
hosts_turn(PGconn *connection)
{
	turn(&first, connection, "host");
	turn(&first_address, connection, "hostaddr");
	turn(&first_port, connection, "port");
}

void
hosts_forget(void)
{
	free(first);
	free(first_address);
	free(first_port);
	first = first_address = first_port = NULL;
}
