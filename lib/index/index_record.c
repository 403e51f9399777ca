#include "index/index_record.h"

#include "index/index_bytes.h"

#define INTRO_SIZE 20
#define KEYWORD_HEADER_SIZE 4
#define ATTRIBUTE_PREFIX 2

/* A type is one bit: by its number, so that tables and switches have no gaps to search. */
struct type {
	const char *name;  /* NULL: no such type */
	uint8_t item_size; /* 0: items vary */
};
#define BIT(type) (__builtin_ctz(type))

static const struct type types[32] = {
	[BIT(INDEX_RECORD_EXPUNGE)] = { "expunge", 8 },
	[BIT(INDEX_RECORD_APPEND)] = { "append", 8 },
	[BIT(INDEX_RECORD_FLAG_UPDATE)] = { "flag-update", 12 },
	[BIT(INDEX_RECORD_HEADER_UPDATE)] = { "header-update" },
	[BIT(INDEX_RECORD_EXT_INTRO)] = { "ext-intro" },
	[BIT(INDEX_RECORD_EXT_RESET)] = { "ext-reset" },
	[BIT(INDEX_RECORD_EXT_HDR_UPDATE)] = { "ext-hdr-update" },
	[BIT(INDEX_RECORD_EXT_REC_UPDATE)] = { "ext-rec-update" },
	[BIT(INDEX_RECORD_KEYWORD_UPDATE)] = { "keyword-update", 8 },
	[BIT(INDEX_RECORD_KEYWORD_RESET)] = { "keyword-reset", 8 },
	[BIT(INDEX_RECORD_EXT_ATOMIC_INC)] = { "ext-atomic-inc", 8 },
	[BIT(INDEX_RECORD_EXPUNGE_GUID)] = { "expunge-guid", 20 },
	[BIT(INDEX_RECORD_MODSEQ_UPDATE)] = { "modseq-update", 12 },
	[BIT(INDEX_RECORD_EXT_HDR_UPDATE32)] = { "ext-hdr-update32" },
	[BIT(INDEX_RECORD_INDEX_DELETED)] = { "index-deleted" },
	[BIT(INDEX_RECORD_INDEX_UNDELETED)] = { "index-undeleted" },
	[BIT(INDEX_RECORD_BOUNDARY)] = { "boundary", 4 },
	[BIT(INDEX_RECORD_ATTRIBUTE_UPDATE)] = { "attribute-update" },
};

const char *index_record_type_name(enum index_record_type type)
{
	const char *name = type ? types[BIT(type)].name : NULL;

	return name ? name : "unknown";
}

/* Where the UID ranges of a KEYWORD_UPDATE begin. */
static size_t keyword_ranges(const struct index_record *record)
{
	size_t name_size = index_bytes_u16(record->data + 2);

	return (KEYWORD_HEADER_SIZE + name_size + 3) & ~(size_t)3;
}

/* ---- walking ---- */

/* Items that are an offset, a size, and so many bytes, padded to 4. */
static bool next_update(const struct index_record *record, size_t *at, size_t width,
			struct index_record_item *item)
{
	size_t left = record->data_len - *at;
	const unsigned char *p = record->data + *at;
	size_t padded;

	if (left < 2 * width)
		return false;
	item->offset = width == 2 ? index_bytes_u16(p) : index_bytes_u32(p);
	item->len = width == 2 ? index_bytes_u16(p + 2) : index_bytes_u32(p + 4);
	item->data = p + 2 * width;
	if (item->len > left - 2 * width)
		return false;
	padded = (2 * width + item->len + 3) & ~(size_t)3;
	*at += padded < left ? padded : left;
	return true;
}

static bool next_intro(const struct index_record *record, size_t *at,
		       struct index_record_item *item)
{
	size_t left = record->data_len - *at;
	const unsigned char *p = record->data + *at;
	size_t padded;

	if (left < INTRO_SIZE)
		return false;
	item->intro = (struct index_record_intro){
		.ext_id = index_bytes_u32(p),
		.reset_id = index_bytes_u32(p + 4),
		.hdr_size = index_bytes_u32(p + 8),
		.record_size = index_bytes_u16(p + 12),
		.record_align = index_bytes_u16(p + 14),
		.flags = index_bytes_u16(p + 16),
	};
	item->len = index_bytes_u16(p + 18);
	item->data = p + INTRO_SIZE;
	if (item->len > left - INTRO_SIZE)
		return false;
	padded = (INTRO_SIZE + item->len + 3) & ~(size_t)3;
	*at += padded < left ? padded : left;
	return true;
}

static bool next_attribute(const struct index_record *record, size_t *at,
			   struct index_record_item *item)
{
	const unsigned char *p = record->data + *at;
	const unsigned char *end = memchr(p, '\0', record->data_len - *at);

	if (!end || end == p)
		return false;
	item->data = p;
	item->len = (size_t)(end - p);
	*at += item->len + 1;
	return true;
}

static bool next_whole(const struct index_record *record, size_t *at,
		       struct index_record_item *item)
{
	if (*at > 0)
		return false;
	item->data = record->data;
	item->len = record->data_len;
	*at = record->data_len;
	return true;
}

static void read_fixed(enum index_record_type type, const unsigned char *p,
		       struct index_record_item *item)
{
	item->uid1 = item->uid2 = index_bytes_u32(p);
	switch (BIT(type)) {
	case BIT(INDEX_RECORD_APPEND):
		item->add_flags = p[4];
		break;
	case BIT(INDEX_RECORD_FLAG_UPDATE):
		item->uid2 = index_bytes_u32(p + 4);
		item->add_flags = p[8];
		item->remove_flags = p[9];
		item->modseq_inc = p[10] != 0;
		break;
	case BIT(INDEX_RECORD_EXPUNGE_GUID):
		item->data = p + 4;
		item->len = 16;
		break;
	case BIT(INDEX_RECORD_MODSEQ_UPDATE):
		item->modseq = index_bytes_u32(p + 4) | (uint64_t)index_bytes_u32(p + 8) << 32;
		break;
	case BIT(INDEX_RECORD_EXT_ATOMIC_INC):
		item->diff = (int32_t)index_bytes_u32(p + 4);
		break;
	case BIT(INDEX_RECORD_BOUNDARY):
		item->offset = item->uid1;
		item->uid1 = item->uid2 = 0;
		break;
	default:
		item->uid2 = index_bytes_u32(p + 4);
		break;
	}
}

bool index_record_next(const struct index_record *record, size_t *at,
		       struct index_record_item *item_r)
{
	size_t size = types[BIT(record->type)].item_size;

	if (*at == record->data_len)
		return false;
	*item_r = (struct index_record_item){ 0 };
	switch (BIT(record->type)) {
	case BIT(INDEX_RECORD_HEADER_UPDATE):
	case BIT(INDEX_RECORD_EXT_HDR_UPDATE):
		return next_update(record, at, 2, item_r);
	case BIT(INDEX_RECORD_EXT_HDR_UPDATE32):
		return next_update(record, at, 4, item_r);
	case BIT(INDEX_RECORD_EXT_INTRO):
		return next_intro(record, at, item_r);
	case BIT(INDEX_RECORD_ATTRIBUTE_UPDATE):
		return next_attribute(record, at, item_r);
	case BIT(INDEX_RECORD_KEYWORD_UPDATE):
		if (*at == 0)
			*at = keyword_ranges(record);
		break;
	default:
		if (size == 0)
			return next_whole(record, at, item_r);
		break;
	}
	if (record->data_len - *at < size)
		return false;
	read_fixed(record->type, record->data + *at, item_r);
	*at += size;
	return true;
}

struct index_record_keyword index_record_keyword(const struct index_record *record)
{
	return (struct index_record_keyword){
		.modify = (enum index_record_modify)record->data[0],
		.name = (const char *)record->data + KEYWORD_HEADER_SIZE,
		.len = index_bytes_u16(record->data + 2),
	};
}

/* ---- checking ---- */

static inline int check_ranges(const unsigned char *p, size_t len, size_t size, struct err *err)
{
	uint32_t last = 0;

	if (len == 0 || len % size != 0)
		return err_set(err, ERR_DATA, "%zu bytes hold no whole UID ranges", len);
	for (const unsigned char *end = p + len; p < end; p += size) {
		uint32_t uid1 = index_bytes_u32(p), uid2 = index_bytes_u32(p + 4);

		if (uid1 <= last || uid2 < uid1)
			return err_set(err, ERR_DATA, "UIDs %u to %u after %u", (unsigned)uid1,
				       (unsigned)uid2, (unsigned)last);
		last = uid2;
	}
	return 0;
}

static int check_keyword(const struct index_record *record, struct err *err)
{
	struct index_record_keyword keyword;
	size_t at;

	if (record->data_len < KEYWORD_HEADER_SIZE || keyword_ranges(record) > record->data_len)
		return err_set(err, ERR_DATA, "a keyword's name goes beyond the record");
	keyword = index_record_keyword(record);
	if (keyword.len == 0 || memchr(keyword.name, '\0', keyword.len))
		return err_set(err, ERR_DATA, "a keyword without a name");
	if (keyword.modify != INDEX_RECORD_ADD && keyword.modify != INDEX_RECORD_REMOVE)
		return err_set(err, ERR_DATA, "a keyword is neither added nor removed");
	at = keyword_ranges(record);
	return check_ranges(record->data + at, record->data_len - at, 8, err);
}

static int check_attributes(const struct index_record *record, struct err *err)
{
	struct index_record_item item;
	size_t at = 0;

	while (index_record_next(record, &at, &item)) {
		if (item.len <= ATTRIBUTE_PREFIX || !strchr("+-", item.data[0]) ||
		    !strchr("ps", item.data[1]))
			return err_set(err, ERR_DATA, "an attribute without prefix or name");
	}
	if (at == 0 || at >= record->data_len || record->data[at] != '\0')
		return err_set(err, ERR_DATA, "attribute names do not end");
	return 0;
}

/* Items are `fixed` bytes, of which the last `width` are the size of what follows.
 * Nothing may be left but padding. */
static int check_updates(const struct index_record *record, size_t fixed, size_t width,
			 struct err *err)
{
	size_t at = 0, left;

	while ((left = record->data_len - at) >= fixed) {
		const unsigned char *p = record->data + at + fixed - width;
		size_t len = width == 2 ? index_bytes_u16(p) : index_bytes_u32(p);

		if (len > left - fixed)
			break;
		len = (fixed + len + 3) & ~(size_t)3;
		at += len < left ? len : left;
	}
	if (at == 0 || (at < record->data_len && record->type != INDEX_RECORD_EXT_INTRO) ||
	    left >= INTRO_SIZE)
		return err_set(err, ERR_DATA, "an item goes beyond the record");
	return 0;
}

static int no_whole_items(size_t len, struct err *err)
{
	return err_set(err, ERR_DATA, "%zu bytes hold no whole items", len);
}

static inline int check_uids(const unsigned char *p, size_t len, size_t size, struct err *err)
{
	if (len % size != 0)
		return no_whole_items(len, err);
	for (const unsigned char *end = p + len; p < end; p += size)
		if (index_bytes_u32(p) == 0)
			return err_set(err, ERR_DATA, "a mail with UID 0");
	return 0;
}

/* The sizes are constants here, so that nothing is divided by a variable. */
static int check(const struct index_record *record, struct err *err)
{
	const unsigned char *data = record->data;
	size_t len = record->data_len;

	if (len == 0)
		return err_set(err, ERR_DATA, "an empty record");
	switch (BIT(record->type)) {
	case BIT(INDEX_RECORD_EXPUNGE):
	case BIT(INDEX_RECORD_KEYWORD_RESET):
		return check_ranges(data, len, 8, err);
	case BIT(INDEX_RECORD_FLAG_UPDATE):
		return check_ranges(data, len, 12, err);
	case BIT(INDEX_RECORD_APPEND):
	case BIT(INDEX_RECORD_EXT_ATOMIC_INC):
		return check_uids(data, len, 8, err);
	case BIT(INDEX_RECORD_EXPUNGE_GUID):
		return check_uids(data, len, 20, err);
	case BIT(INDEX_RECORD_MODSEQ_UPDATE):
		return len % 12 == 0 ? 0 : no_whole_items(len, err);
	case BIT(INDEX_RECORD_BOUNDARY):
		return len % 4 == 0 ? 0 : no_whole_items(len, err);
	case BIT(INDEX_RECORD_KEYWORD_UPDATE):
		return check_keyword(record, err);
	case BIT(INDEX_RECORD_ATTRIBUTE_UPDATE):
		return check_attributes(record, err);
	case BIT(INDEX_RECORD_HEADER_UPDATE):
	case BIT(INDEX_RECORD_EXT_HDR_UPDATE):
		return check_updates(record, 4, 2, err);
	case BIT(INDEX_RECORD_EXT_HDR_UPDATE32):
		return check_updates(record, 8, 4, err);
	case BIT(INDEX_RECORD_EXT_INTRO):
		return check_updates(record, INTRO_SIZE, 2, err);
	default:
		return 0;
	}
}

int index_record_set_type(struct index_record *record, uint32_t bits, struct err *err)
{
	uint32_t type = bits & INDEX_RECORD_TYPE_MASK;

	if (type == (INDEX_RECORD_EXPUNGE | INDEX_RECORD_EXPUNGE_PROT) ||
	    type == (INDEX_RECORD_EXPUNGE_GUID | INDEX_RECORD_EXPUNGE_PROT))
		type &= ~INDEX_RECORD_EXPUNGE_PROT;
	else if (type == INDEX_RECORD_EXPUNGE || type == INDEX_RECORD_EXPUNGE_GUID)
		return err_set(err, ERR_DATA, "an expunge without its protection bits");
	if (type == 0 || (type & (type - 1)) != 0 || !types[BIT(type)].name)
		return err_set(err, ERR_DATA, "unknown type 0x%x", (unsigned)type);
	record->type = (enum index_record_type)type;
	record->external = bits & INDEX_RECORD_EXTERNAL;
	record->sync = bits & INDEX_RECORD_SYNC;
	return check(record, err);
}
