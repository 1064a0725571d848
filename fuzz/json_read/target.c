/* SPDX-License-Identifier: MIT */
/* Arbitrary bytes as the document of an episode: whatever is found lies within them, a text that is
 * read has its end, and the summary is one of the four states or what the document says. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "episode/record.h"
#include "formats/json_read.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int condition)
{
    if (!condition)
        abort();
}

static void read_member(const char *document, size_t size, const char *key)
{
    struct rth_json_value value;
    if (rth__json_read_member(document, size, key, &value) != 0)
        return;
    require(value.size_bytes > 0 && value.text >= document &&
            value.text + value.size_bytes <= document + size);
    char text[16];
    if (rth__json_read_text(&value, text, sizeof(text)) == 0)
        require(strnlen(text, sizeof(text)) < sizeof(text) && value.text[0] == '"');
    uint64_t number;
    if (rth__json_read_uint(&value, &number) == 0)
        require(value.text[0] >= '0' && value.text[0] <= '9');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *document = malloc(size > 0 ? size : 1); /* exact: a step too far is seen */
    if (document == NULL)
        return 0;
    memcpy(document, data, size);
    read_member(document, size, "a");
    read_member(document, size, "state");
    struct rth_episode_summary summary;
    rth__episode_summary_read(document, size, &summary);
    require(summary.state[0] != '\0' &&
            strnlen(summary.state, sizeof(summary.state)) < sizeof(summary.state));
    free(document);
    return 0;
}
