#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "store/store_s3.h"

#define SECTION "[default]"

static char *trim(char *text)
{
	size_t len = strlen(text);

	while (len > 0 && strchr(" \t\r\n", text[len - 1]))
		text[--len] = '\0';
	return text + strspn(text, " \t");
}

static void take_line(struct store_s3 *s3, char *line)
{
	static const char *const names[] = { "aws_access_key_id", "aws_secret_access_key",
					     "aws_session_token" };
	char **const targets[] = { &s3->access_key, &s3->secret_key, &s3->session_token };
	char *equals = strchr(line, '=');

	if (!equals)
		return;
	*equals = '\0';
	for (size_t i = 0; i < 3; i++) {
		if (strcmp(trim(line), names[i]) == 0) {
			free(*targets[i]);
			*targets[i] = xstrdup(trim(equals + 1));
		}
	}
}

/* The [default] section of the file that the AWS tools use. */
static int read_file(struct store_s3 *s3, const char *path, struct err *err)
{
	FILE *file = fopen(path, "re");
	autofree char *line = NULL;
	size_t size = 0;
	bool in_section = false;

	if (!file) {
		err_sys(err, errno, "open the credentials file %s", path);
		if (err)
			err->code = ERR_CONFIG;
		return -1;
	}
	while (getline(&line, &size, file) >= 0) {
		char *text = trim(line);

		if (*text == '[')
			in_section = strcmp(text, SECTION) == 0;
		else if (in_section && *text != '#' && *text != ';')
			take_line(s3, text);
	}
	fclose(file);
	return 0;
}

static void take_environment(struct store_s3 *s3)
{
	const char *key = getenv("AWS_ACCESS_KEY_ID"), *secret = getenv("AWS_SECRET_ACCESS_KEY");
	const char *token = getenv("AWS_SESSION_TOKEN");

	if (!key || !secret)
		return;
	s3->access_key = xstrdup(key);
	s3->secret_key = xstrdup(secret);
	if (token && *token != '\0')
		s3->session_token = xstrdup(token);
}

int store_s3_credentials(struct store_s3 *s3, const char *credentials_file, struct err *err)
{
	if (s3->url.access_key && s3->url.secret_key) {
		s3->access_key = steal_ptr(&s3->url.access_key);
		s3->secret_key = steal_ptr(&s3->url.secret_key);
		return 0;
	}
	take_environment(s3);
	if (!s3->access_key && credentials_file && read_file(s3, credentials_file, err) < 0)
		return -1;
	if (s3->access_key && s3->secret_key)
		return 0;
	if (s3->url.auth_role)
		err_set(err, ERR_CONFIG, "%s: no access key, and auth_role is not looked up",
			s3->driver.name);
	else
		err_set(err, ERR_CONFIG, "%s: no access key", s3->driver.name);
	return err_hint(err, "put KEY:SECRET@ before the host, or set AWS_ACCESS_KEY_ID and "
			     "AWS_SECRET_ACCESS_KEY");
}
