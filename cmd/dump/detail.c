#include "detail.h"

#include <inttypes.h>

#include "base/quote.h"

void detail_flags(unsigned flags, struct buf *out)
{
	static const struct {
		unsigned bit;
		const char *name;
	} names[] = {
		{ INDEX_FLAG_ANSWERED, "\\Answered" }, { INDEX_FLAG_FLAGGED, "\\Flagged" },
		{ INDEX_FLAG_DELETED, "\\Deleted" },   { INDEX_FLAG_SEEN, "\\Seen" },
		{ INDEX_FLAG_DRAFT, "\\Draft" },
	};
	const char *blank = "";

	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (flags & names[i].bit) {
			buf_printf(out, "%s%s", blank, names[i].name);
			blank = " ";
		}
	if (flags & ~(unsigned)INDEX_FLAGS_VISIBLE)
		buf_printf(out, "%s0x%02x", blank, flags & ~(unsigned)INDEX_FLAGS_VISIBLE);
}

static void put_uids(const struct index_record_item *item, struct buf *out)
{
	buf_printf(out, "%" PRIu32, item->uid1);
	if (item->uid2 != item->uid1)
		buf_printf(out, ":%" PRIu32, item->uid2);
}

static void put_flags(const char *sign, unsigned flags, struct buf *out)
{
	if (flags == 0)
		return;
	buf_printf(out, " %s(", sign);
	detail_flags(flags, out);
	buf_putc(out, ')');
}

static void put_intro(const struct index_record_item *item, struct buf *out)
{
	if (item->intro.ext_id == INDEX_RECORD_EXT_NEW)
		buf_puts(out, quote_mem(item->data, item->len).s);
	else
		buf_printf(out, "#%" PRIu32, item->intro.ext_id);
	buf_printf(out, " reset=%" PRIu32 " header=%" PRIu32 " record=%u align=%u flags=%u",
		   item->intro.reset_id, item->intro.hdr_size, item->intro.record_size,
		   item->intro.record_align, item->intro.flags);
}

static void put_item(const struct index_record *record, const struct index_record_item *item,
		     struct buf *out)
{
	switch ((int)record->type) {
	case INDEX_RECORD_APPEND:
	case INDEX_RECORD_FLAG_UPDATE:
		put_uids(item, out);
		put_flags("+", item->add_flags, out);
		put_flags("-", item->remove_flags, out);
		buf_puts(out, item->modseq_inc ? " modseq" : "");
		break;
	case INDEX_RECORD_EXPUNGE_GUID:
		put_uids(item, out);
		buf_putc(out, ' ');
		buf_hex(out, item->data, item->len);
		break;
	case INDEX_RECORD_MODSEQ_UPDATE:
		put_uids(item, out);
		buf_printf(out, " modseq=%" PRIu64, item->modseq);
		break;
	case INDEX_RECORD_EXT_ATOMIC_INC:
		put_uids(item, out);
		buf_printf(out, " %+" PRId32, item->diff);
		break;
	case INDEX_RECORD_EXT_INTRO:
		put_intro(item, out);
		break;
	case INDEX_RECORD_HEADER_UPDATE:
	case INDEX_RECORD_EXT_HDR_UPDATE:
	case INDEX_RECORD_EXT_HDR_UPDATE32:
		buf_printf(out, "at %" PRIu32 " ", item->offset);
		buf_hex(out, item->data, item->len);
		break;
	case INDEX_RECORD_ATTRIBUTE_UPDATE:
		buf_puts(out, quote_mem(item->data, item->len).s);
		break;
	case INDEX_RECORD_BOUNDARY:
		buf_printf(out, "%" PRIu32 " bytes", item->offset);
		break;
	case INDEX_RECORD_EXPUNGE:
	case INDEX_RECORD_KEYWORD_UPDATE:
	case INDEX_RECORD_KEYWORD_RESET:
		put_uids(item, out);
		break;
	default:
		buf_hex(out, item->data, item->len < DETAIL_MAX ? item->len : DETAIL_MAX);
		break;
	}
}

void detail_record(const struct index_record *record, struct buf *out)
{
	struct index_record_item item;
	size_t at = 0, start = out->len;

	if (record->type == INDEX_RECORD_KEYWORD_UPDATE) {
		struct index_record_keyword keyword = index_record_keyword(record);

		buf_printf(out, "%c%s ", keyword.modify == INDEX_RECORD_ADD ? '+' : '-',
			   quote_mem(keyword.name, keyword.len).s);
	}
	for (bool first = true; index_record_next(record, &at, &item); first = false) {
		buf_puts(out, first ? "" : ", ");
		put_item(record, &item, out);
		if (out->len - start > DETAIL_MAX) {
			buf_truncate(out, start + DETAIL_MAX);
			buf_puts(out, "...");
			return;
		}
	}
}
