/* SPDX-License-Identifier: MIT */
#ifndef RTH_PROFILE_TEXT_H
#define RTH_PROFILE_TEXT_H

/*
 * Profiles as text, for debug=1: the shapes that Go prints and pprof still reads, for people first,
 * so names are demangled here.
 */

#include "formats/sink.h"
#include "profile/encode.h"
#include "symbols/symbols.h"

/*
 * A count profile ("goroutine profile: total 12"): rows with the same stack and labels become one
 * group, the largest first; then each module that occurs, with its build-id, in '#' lines.
 * values[0] of a row is its count. comments: '#' lines below the first one.
 * Returns 0, -ECANCELED, -E2BIG, -ENOMEM or the sink's error; like rth__profile_encode otherwise.
 */
int rth__profile_text_counts(const char *name, const struct rth_profile_rows *rows,
                             const struct rth_profile_naming *naming, const char *const *comments,
                             unsigned comment_count, struct rth_sink *sink);

/* One frame: "#\t0xADDRESS\tNAME+0xOFFSET\tMODULE\n"; without a name the module's, with the address
 * as its file has it; code outside every module is its address alone. symbols: NULL for no names.
 */
void rth__profile_text_frame(struct rth_sink *sink, const struct rth_symbol_set *symbols,
                             rth_frame frame);
/* What that function says after the address, without the module: "NAME+0xOFFSET". */
void rth__profile_text_name(struct rth_sink *sink, const struct rth_symbol_set *symbols,
                            rth_frame frame);
/* {"key":"text", "other":12} in the order of their keys. */
void rth__profile_text_labels(struct rth_sink *sink, const struct rth_pprof_label *labels,
                              size_t count);
/* "3 @ 0x1 0x2": the count and the addresses as they stand on the stack, so that a reader who
 * subtracts one from each, as pprof does, finds the call sites. No end of line. */
void rth__profile_text_stack(struct rth_sink *sink, int64_t count, const rth_frame *frames,
                             unsigned frame_count);

/* What stands below the first line of a row: its labels, its frames, an empty line. */
void rth__profile_text_detail(struct rth_sink *sink, const struct rth_symbol_set *symbols,
                              const struct rth_profile_row *row);
/* Comments as '#' lines. */
void rth__profile_text_comments(struct rth_sink *sink, const char *const *comments,
                                unsigned comment_count);
/* The names of all frames of the rows; NULL where none are wanted. The caller frees them, after an
 * error too. 0, -ECANCELED or -ENOMEM. */
int rth__profile_text_symbols(const struct rth_profile_rows *rows,
                              const struct rth_profile_naming *naming,
                              struct rth_symbol_set **ret_symbols);

#endif /* RTH_PROFILE_TEXT_H */
