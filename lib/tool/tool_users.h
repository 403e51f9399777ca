/* The users that -u and -F name. Used by tool.c; commands call tool_each_user(). */
#pragma once

#include "tool/tool.h"

/* Open every file of tool->user_files. 0, or -1 with the file's name in err. */
int tool_users_open(struct tool *tool, struct err *err);

/* Close them and forget their names; safe twice. */
void tool_users_close(struct tool *tool);
