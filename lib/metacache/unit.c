#include "metacache/unit.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/utf8.h"

#define DEPTH_MAX 64
#define FTS_NAME_DEPTH 16
#define INDEX_LOG "dovecot.index.log"

struct scan {
	const struct unit_rules *rules;
	struct home *home;
	struct buf path; /* of the directory being read, below home */
	struct err *err;
};

static int scan_directory(struct scan *scan, int fd, unsigned depth);

static bool is_guid(const char *name)
{
	return strspn(name, "0123456789abcdef") == 32 && name[32] == '\0';
}

static const char *last_component(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

void unit_folder_id(const char *path, char id_r[33])
{
	unsigned char md5[16];
	struct buf hex = { 0 };

	if (is_guid(last_component(path))) {
		memcpy(id_r, last_component(path), 33);
		return;
	}
	hash_md5(path, strlen(path), md5);
	buf_hex(&hex, md5, sizeof md5);
	memcpy(id_r, buf_str(&hex), 33);
	buf_free(&hex);
}

/* "mailboxes/Foo/dbox-Mails" is the folder Foo, ".Foo" too. */
bool unit_is_special(const char *path, const struct unit_rules *rules)
{
	const struct str_vec *special = rules->special_folders;
	static const char boxes[] = "mailboxes/", mails[] = "/dbox-Mails";
	size_t len;

	if (strncmp(path, boxes, sizeof boxes - 1) == 0)
		path += sizeof boxes - 1;
	else if (path[0] == '.')
		path++;
	len = strlen(path);
	if (len > sizeof mails - 1 && strcmp(path + len - (sizeof mails - 1), mails) == 0)
		len -= sizeof mails - 1;
	for (size_t i = 0; i < special->count; i++) {
		const char *name = special->items[i];

		if (strlen(name) == len && strncasecmp(name, path, len) == 0)
			return true;
	}
	return false;
}

static bool is_fts_dir(const char *path, const struct unit_rules *rules, size_t *index_r)
{
	for (size_t i = 0; i < rules->fts_dirs->count; i++) {
		if (strcmp(rules->fts_dirs->items[i], path) == 0) {
			*index_r = i;
			return true;
		}
	}
	return false;
}

void unit_classify(const char *path, const struct unit_rules *rules, struct unit *unit_r)
{
	size_t index;

	*unit_r = (struct unit){ .path = xstrdup(path) };
	if (path[0] == '\0') {
		unit_r->kind = UNIT_ROOT;
		unit_r->id = xstrdup("");
	} else if (is_fts_dir(path, rules, &index)) {
		/* Each directory is a unit; only the first is plainly "fts". */
		unit_r->kind = UNIT_FTS;
		unit_r->priority = 1;
		unit_r->id = index == 0 ? xstrdup("fts") : xasprintf("fts.%s", path);
	} else {
		unit_r->kind = UNIT_FOLDER;
		unit_r->priority = unit_is_special(path, rules) ? UNIT_PRIORITY_SPECIAL : 3;
		unit_r->id = xmalloc(33);
		unit_folder_id(path, unit_r->id);
	}
}

/* Names go into JSON and come back from it. */
static bool is_usable(const char *name)
{
	return utf8_is_valid(name, strlen(name)) && !strpbrk(name, "\n\r");
}

/* Dovecot makes these again, or they are only there while it writes. */
static bool is_left_out(const char *name)
{
	return str_ends_with(name, ".lock") || str_ends_with(name, ".newlock") ||
	       str_ends_with(name, ".tmp") || strcmp(name, "dovecot.index.backup") == 0 ||
	       strcmp(name, "dovecot.list.index.backup") == 0 || strncmp(name, ".temp.", 6) == 0 ||
	       strcmp(name, ".state.blocks") == 0;
}

void unit_files_free(struct unit_file_vec *files)
{
	for (size_t i = 0; i < files->count; i++)
		free(files->items[i].name);
	vec_free(files);
}

void unit_free(struct unit *unit)
{
	free(unit->path);
	free(unit->id);
	unit_files_free(&unit->files);
	*unit = (struct unit){ 0 };
}

void unit_home_free(struct home *home)
{
	for (size_t i = 0; i < home->units.count; i++)
		unit_free(&home->units.items[i]);
	vec_free(&home->units);
	free(home->foreign);
	*home = (struct home){ 0 };
}

static void note_foreign(struct scan *scan, const char *name)
{
	if (!scan->home->foreign)
		scan->home->foreign = scan->path.len > 0
					      ? xasprintf("%s/%s", buf_str(&scan->path), name)
					      : xstrdup(name);
}

static void count_file(struct unit *unit, const struct unit_file *file)
{
	unit->bytes += file->size_bytes;
	if (file->mtime_ns > unit->newest_ns)
		unit->newest_ns = file->mtime_ns;
}

/* Gone between readdir and stat is as if it had never been there. */
static int add_file(struct scan *scan, struct unit *unit, int fd, const char *name,
		    const char *prefix)
{
	struct fsx_stat st;
	struct unit_file file;
	int ret = fsx_stat(fd, name, &st);

	if (ret < 0)
		return err_sys(scan->err, errno, "look at %s/%s", buf_str(&scan->path), name);
	if (ret == 0)
		return 0;
	if (strcmp(name, UNIT_STATE_NAME) == 0 && prefix[0] == '\0') {
		unit->has_state = true;
		unit->state_stat = st;
		return 0;
	}
	file = (struct unit_file){
		.name = prefix[0] ? xasprintf("%s/%s", prefix, name) : xstrdup(name),
		.ino = st.ino,
		.size_bytes = st.size_bytes,
		.mtime_ns = st.mtime_ns,
		.mode = st.mode & 0777,
	};
	vec_push(&unit->files, file);
	count_file(unit, &file);
	return 0;
}

/* Run `fn` with scan->path extended by one name. */
static int descend(struct scan *scan, int parent, const char *name, unsigned depth,
		   int (*fn)(struct scan *, int, unsigned, void *), void *arg)
{
	size_t len = scan->path.len;
	int ret, fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0 && errno == ENOENT)
		return 0;
	if (len > 0)
		buf_putc(&scan->path, '/');
	buf_puts(&scan->path, name);
	if (fd < 0)
		return err_sys(scan->err, errno, "open directory %s", buf_str(&scan->path));
	if (depth >= DEPTH_MAX) {
		cleanup_fd(&fd);
		return err_set(scan->err, ERR_DATA, "%s: more than %d directories deep",
			       buf_str(&scan->path), DEPTH_MAX);
	}
	ret = fn(scan, fd, depth + 1, arg);
	buf_truncate(&scan->path, len);
	return ret;
}

static int scan_fts(struct scan *scan, int fd, unsigned depth, void *arg)
{
	struct unit *unit = arg;
	autodir struct fsx_dir dir = { .fd = -1 };
	struct fsx_entry entry;
	const char *inside;
	int ret;

	fsx_dir_open(&dir, fd);
	inside = buf_str(&scan->path) + strlen(unit->path);
	inside += *inside == '/';
	while ((ret = fsx_dir_next(&dir, &entry)) > 0) {
		ret = 0;
		if (!is_usable(entry.name))
			note_foreign(scan, entry.name);
		else if (entry.type == DT_DIR && depth < FTS_NAME_DEPTH)
			ret = descend(scan, dir.fd, entry.name, depth, scan_fts, unit);
		else if (entry.type != DT_REG)
			note_foreign(scan, entry.name);
		else if (!is_left_out(entry.name))
			ret = add_file(scan, unit, dir.fd, entry.name, inside);
		if (ret < 0)
			return -1;
		inside = buf_str(&scan->path) + strlen(unit->path);
		inside += *inside == '/';
	}
	return ret < 0 ? err_sys(scan->err, errno, "read directory %s", buf_str(&scan->path)) : 0;
}

static int compare_files(const void *a, const void *b)
{
	return strcmp(((const struct unit_file *)a)->name, ((const struct unit_file *)b)->name);
}

static void sort_files(struct unit *unit)
{
	if (unit->files.count > 1)
		qsort(unit->files.items, unit->files.count, sizeof *unit->files.items,
		      compare_files);
}

static void add_unit(struct scan *scan, struct unit *unit)
{
	sort_files(unit);
	vec_push(&scan->home->units, *unit);
	*unit = (struct unit){ 0 };
}

static int add_fts_unit(struct scan *scan, int parent, const char *name, unsigned depth)
{
	struct unit unit;
	int ret;

	unit_classify(name, scan->rules, &unit);
	ret = descend(scan, parent, name, depth, scan_fts, &unit);
	if (ret == 0 && (unit.files.count > 0 || unit.has_state))
		add_unit(scan, &unit);
	unit_free(&unit);
	return ret;
}

static int scan_subdirectory(struct scan *scan, int fd, unsigned depth, void *arg)
{
	(void)arg;
	return scan_directory(scan, fd, depth);
}

static int scan_entries(struct scan *scan, struct fsx_dir *dir, struct unit *unit,
			struct str_vec *subdirs, bool *is_folder_r)
{
	struct fsx_entry entry;
	int ret;

	while ((ret = fsx_dir_next(dir, &entry)) > 0) {
		if (!is_usable(entry.name))
			note_foreign(scan, entry.name);
		else if (entry.type == DT_DIR)
			vec_push(subdirs, xstrdup(entry.name));
		else if (entry.type != DT_REG)
			note_foreign(scan, entry.name);
		else if (!is_left_out(entry.name) &&
			 add_file(scan, unit, dir->fd, entry.name, "") < 0)
			return -1;
		if (strcmp(entry.name, INDEX_LOG) == 0)
			*is_folder_r = true;
	}
	return ret < 0 ? err_sys(scan->err, errno, "read directory %s", buf_str(&scan->path)) : 0;
}

static int scan_subdirs(struct scan *scan, int fd, unsigned depth, bool in_folder,
			const struct str_vec *subdirs)
{
	size_t fts_index;

	for (size_t i = 0; i < subdirs->count; i++) {
		const char *name = subdirs->items[i];
		bool fts = is_fts_dir(name, scan->rules, &fts_index);
		int ret;

		if (fts && depth == 0)
			ret = add_fts_unit(scan, fd, name, depth);
		else if (fts && in_folder) /* made again when it is missing */
			ret = 0;
		else /* a mail folder may have that name too */
			ret = descend(scan, fd, name, depth, scan_subdirectory, NULL);
		if (ret < 0)
			return -1;
	}
	return 0;
}

/* Takes fd over. At depth 0 it is the home, whose files are the root unit. */
static int scan_directory(struct scan *scan, int fd, unsigned depth)
{
	autodir struct fsx_dir dir = { .fd = -1 };
	struct str_vec subdirs = { 0 };
	struct unit unit;
	bool is_folder = false;
	int ret;

	fsx_dir_open(&dir, fd);
	unit_classify(buf_str(&scan->path), scan->rules, &unit);
	ret = scan_entries(scan, &dir, &unit, &subdirs, &is_folder);
	if (ret == 0) {
		unit.has_subdirs = subdirs.count > 0;
		if (depth == 0 ? unit.files.count > 0 || unit.has_state : is_folder)
			add_unit(scan, &unit);
		else if (unit.files.count > 0)
			note_foreign(scan, unit.files.items[0].name);
		ret = scan_subdirs(scan, dir.fd, depth, is_folder, &subdirs);
	}
	unit_free(&unit);
	str_vec_free(&subdirs);
	return ret;
}

static int compare_units(const void *a, const void *b)
{
	return strcmp(((const struct unit *)a)->path, ((const struct unit *)b)->path);
}

int unit_scan(int homefd, const struct unit_rules *rules, struct home *home_r, struct err *err)
{
	struct scan scan = { .rules = rules, .home = home_r, .err = err };
	int ret, fd;

	*home_r = (struct home){ 0 };
	fd = fsx_opendir(homefd, "");
	if (fd < 0)
		return err_sys(err, errno, "open the home directory");
	ret = scan_directory(&scan, fd, 0);
	buf_free(&scan.path);
	if (home_r->units.count > 1)
		qsort(home_r->units.items, home_r->units.count, sizeof *home_r->units.items,
		      compare_units);
	if (ret < 0)
		unit_home_free(home_r);
	return ret;
}

int unit_rescan(int unitfd, const char *path, const struct unit_rules *rules, struct unit *unit_r,
		struct err *err)
{
	struct home unused = { 0 };
	struct scan scan = { .rules = rules, .home = &unused, .err = err };
	struct str_vec subdirs = { 0 };
	autodir struct fsx_dir dir = { .fd = -1 };
	bool is_folder = false;
	int ret, fd = fsx_opendir(unitfd, "");

	if (fd < 0)
		return err_sys(err, errno, "open directory %s", path);
	unit_classify(path, rules, unit_r);
	buf_puts(&scan.path, path);
	if (unit_r->kind == UNIT_FTS) {
		ret = scan_fts(&scan, fd, 1, unit_r); /* as deep as a scan of the home */
	} else {
		fsx_dir_open(&dir, fd);
		ret = scan_entries(&scan, &dir, unit_r, &subdirs, &is_folder);
		unit_r->has_subdirs = subdirs.count > 0;
	}
	sort_files(unit_r);
	str_vec_free(&subdirs);
	buf_free(&scan.path);
	free(unused.foreign);
	if (ret < 0)
		unit_free(unit_r);
	return ret;
}

struct unit *unit_find(const struct home *home, const char *path)
{
	for (size_t i = 0; i < home->units.count; i++) {
		if (strcmp(home->units.items[i].path, path) == 0)
			return &home->units.items[i];
	}
	return NULL;
}

struct unit *unit_find_id(const struct home *home, const char *id)
{
	for (size_t i = 0; i < home->units.count; i++) {
		if (strcmp(home->units.items[i].id, id) == 0)
			return &home->units.items[i];
	}
	return NULL;
}

unsigned unit_name_depth(enum unit_kind kind)
{
	return kind == UNIT_FTS ? FTS_NAME_DEPTH : 1;
}

const char *unit_title(const struct unit *unit)
{
	return unit->kind == UNIT_ROOT ? "root indexes" : unit->path;
}

/* Order does not matter to a sum, and directories have none. */
static void add_to_sum(unsigned char sum[HASH_CONTENT_SIZE], struct buf *key, const char *path,
		       const struct unit_file *file)
{
	struct {
		uint64_t ino, size, mtime;
	} facts = { file->ino, file->size_bytes, (uint64_t)file->mtime_ns };
	unsigned char digest[HASH_CONTENT_SIZE];
	unsigned carry = 0;

	buf_truncate(key, 0);
	buf_append(key, &facts, sizeof facts);
	buf_printf(key, "%s/%s", path, file->name);
	hash_content(key->data, key->len, digest);
	for (size_t i = 0; i < sizeof digest; i++) {
		carry += (unsigned)sum[i] + digest[i];
		sum[i] = (unsigned char)carry;
		carry >>= 8;
	}
}

void unit_fingerprint(const struct home *home, unsigned char fingerprint_r[HASH_CONTENT_SIZE])
{
	static char state_name[] = UNIT_STATE_NAME;
	struct buf key = { 0 };

	memset(fingerprint_r, 0, HASH_CONTENT_SIZE);
	for (size_t i = 0; i < home->units.count; i++) {
		const struct unit *unit = &home->units.items[i];
		const struct unit_file state = {
			.name = state_name,
			.ino = unit->state_stat.ino,
			.size_bytes = unit->state_stat.size_bytes,
			.mtime_ns = unit->state_stat.mtime_ns,
		};

		for (size_t k = 0; k < unit->files.count; k++)
			add_to_sum(fingerprint_r, &key, unit->path, &unit->files.items[k]);
		if (unit->has_state)
			add_to_sum(fingerprint_r, &key, unit->path, &state);
	}
	buf_free(&key);
}

void unit_set_files(struct unit *unit, const struct unit_file_vec *files)
{
	unit_files_free(&unit->files);
	unit->bytes = 0;
	unit->newest_ns = 0;
	for (size_t i = 0; i < files->count; i++) {
		struct unit_file file = files->items[i];

		file.name = xstrdup(file.name);
		vec_push(&unit->files, file);
		count_file(unit, &file);
	}
}
