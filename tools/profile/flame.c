/* SPDX-License-Identifier: MIT */
#include "profile/flame.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "profile/intern.h"
#include "profile/units.h"

#define WIDTH_PX     1200.0
#define ROW_PX       17
#define MARGIN_PX    10
#define HEAD_PX      54
#define FOOT_PX      26
#define NARROWEST_PX 0.3 /* narrower boxes are left out: nobody sees them */
#define LETTER_PX    6.7
#define DEPTH_MAX    1024 /* frames further from the root are left out */
#define ROOT         0u
#define NONE         UINT32_MAX

struct node {
    const char *name;
    uint32_t first_child, next_sibling;
    int64_t value; /* with everything above it */
    bool inlined;
};

struct node_key {
    uint32_t parent, name;
};

struct flame {
    struct intern names, keys;
    struct pool pool;
    struct node *nodes; /* numbered as keys, but for the root: + 1 */
    size_t node_count, node_capacity;
};

struct picture {
    FILE *out;
    const struct node *nodes;
    const char *unit;
    int64_t total;
    double px_per_value;
    unsigned deepest;
};

struct flame *flame_new(void)
{
    struct flame *flame = take(1, sizeof(*flame));
    flame->nodes = grow(NULL, 0, &flame->node_capacity, sizeof(*flame->nodes));
    flame->nodes[flame->node_count++] =
        (struct node){.name = "all", .first_child = NONE, .next_sibling = NONE};
    return flame;
}

void flame_free(struct flame *flame)
{
    intern_free(&flame->names);
    intern_free(&flame->keys);
    pool_free(&flame->pool);
    free(flame->nodes);
    free(flame);
}

int64_t flame_total(const struct flame *flame)
{
    return flame->nodes[ROOT].value;
}

static uint32_t child_of(struct flame *flame, uint32_t parent, const struct frame *frame)
{
    struct node_key key = {parent, intern_number(&flame->names, frame->name, strlen(frame->name))};
    uint32_t number = intern_number(&flame->keys, (const char *)&key, sizeof(key)) + 1;
    if (number == flame->node_count) {
        /* The table keeps the key. */
        struct node_key *kept = pool_take(&flame->pool, sizeof(*kept));
        *kept = key;
        flame->keys.keys[number - 1] = (const char *)kept;
        flame->nodes =
            grow(flame->nodes, flame->node_count, &flame->node_capacity, sizeof(*flame->nodes));
        flame->nodes[flame->node_count++] =
            (struct node){.name = frame->name,
                          .first_child = NONE,
                          .next_sibling = flame->nodes[parent].first_child};
        flame->nodes[parent].first_child = number;
    }
    return number;
}

static void add_value(struct node *node, int64_t value)
{
    if (__builtin_add_overflow(node->value, value, &node->value))
        node->value = INT64_MAX;
}

static void add_stack(struct flame *flame, const struct profile *profile,
                      const struct rth_pprof_sample_row *sample, int64_t value)
{
    const struct rth_pprof_document *document = &profile->document;
    uint32_t at = ROOT;
    unsigned depth = 0;
    add_value(&flame->nodes[ROOT], value);
    for (uint32_t i = sample->location_count; i-- > 0;) {
        uint32_t location = document->sample_locations[sample->first_location + i];
        const struct frames *frames = &profile->locations[location];
        for (uint32_t k = frames->count; k-- > 0 && depth < DEPTH_MAX; depth++) {
            at = child_of(flame, at, &frames->list[k]);
            flame->nodes[at].inlined |= k + 1 < frames->count;
            add_value(&flame->nodes[at], value);
        }
    }
}

void flame_add(struct flame *flame, const struct profile *profile, int type,
               const struct selection *selection)
{
    bool *wanted = selection_of_samples(selection, profile);
    for (uint32_t row = 0; row < profile->document.sample_count; row++) {
        int64_t value = profile_value(profile, row, type);
        if (wanted[row] && value > 0)
            add_stack(flame, profile, &profile->document.samples[row], value);
    }
    free(wanted);
}

/* ---- the picture ---- */

static void write_escaped(FILE *out, const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        unsigned char byte = (unsigned char)text[i];
        if (byte == '<')
            fputs("&lt;", out);
        else if (byte == '>')
            fputs("&gt;", out);
        else if (byte == '&')
            fputs("&amp;", out);
        else if (byte == '"')
            fputs("&quot;", out);
        else
            fputc(byte < 0x20 || byte >= 0x7f ? '?' : byte, out);
    }
}

/* Warm, and the same for a name wherever it stands. */
static void colour_of(const char *name, unsigned colour[3])
{
    uint32_t hash = 2166136261u;
    for (; *name != '\0'; name++)
        hash = (hash ^ (unsigned char)*name) * 16777619u;
    colour[0] = 205 + hash % 50;
    colour[1] = 60 + (hash >> 8) % 140;
    colour[2] = 20 + (hash >> 18) % 50;
}

static int by_name(const void *left, const void *right, void *nodes_pointer)
{
    const struct node *nodes = nodes_pointer;
    return strcmp(nodes[*(const uint32_t *)left].name, nodes[*(const uint32_t *)right].name);
}

/* The children wide enough to be seen, by name; free gives them back. */
static uint32_t *visible_children(const struct picture *picture, uint32_t parent, size_t *ret_count)
{
    size_t count = 0;
    for (uint32_t at = picture->nodes[parent].first_child; at != NONE;
         at = picture->nodes[at].next_sibling)
        count++;
    uint32_t *children = take(count, sizeof(*children));
    count = 0;
    for (uint32_t at = picture->nodes[parent].first_child; at != NONE;
         at = picture->nodes[at].next_sibling) {
        children[count] = at;
        count += (double)picture->nodes[at].value * picture->px_per_value >= NARROWEST_PX;
    }
    qsort_r(children, count, sizeof(*children), by_name, (void *)(uintptr_t)picture->nodes);
    *ret_count = count;
    return children;
}

static void write_box(const struct picture *picture, const struct node *node, unsigned depth,
                      double x_px, double y_px)
{
    unsigned colour[3];
    char value[64], percent[32];
    double width_px = (double)node->value * picture->px_per_value;
    size_t length = strlen(node->name), letters = (size_t)((width_px - 6) / LETTER_PX);
    colour_of(node->name, colour);
    fprintf(picture->out, "<g class=\"f\" data-d=\"%u\"><title>", depth);
    write_escaped(picture->out, node->name, length);
    fprintf(picture->out, "%s (%s, %s)</title>", node->inlined ? " (inline)" : "",
            unit_text(node->value, picture->unit, UNIT_AUTO, value, sizeof(value)),
            percent_text(node->value, picture->total, percent, sizeof(percent)) +
                strspn(percent, " "));
    fprintf(picture->out,
            "<rect x=\"%.2f\" y=\"%.0f\" width=\"%.2f\" height=\"%d\" fill=\"rgb(%u,%u,%u)\"/>",
            x_px, y_px, width_px, ROW_PX - 1, colour[0], colour[1], colour[2]);
    fprintf(picture->out, "<text x=\"%.2f\" y=\"%.0f\">", x_px + 3, y_px + ROW_PX - 5);
    if (width_px > 6 + 3 * LETTER_PX) {
        bool cut = length > letters;
        write_escaped(picture->out, node->name, cut ? letters - 2 : length);
        fputs(cut ? ".." : "", picture->out);
    }
    fputs("</text></g>\n", picture->out);
}

/* Depth is at most DEPTH_MAX, for both. */
static void measure(struct picture *picture, uint32_t at, unsigned depth)
{
    if (depth > picture->deepest)
        picture->deepest = depth;
    for (uint32_t child = picture->nodes[at].first_child; child != NONE;
         child = picture->nodes[child].next_sibling) {
        if ((double)picture->nodes[child].value * picture->px_per_value >= NARROWEST_PX)
            measure(picture, child, depth + 1);
    }
}

static void draw(const struct picture *picture, uint32_t at, unsigned depth, double x_px)
{
    double y_px = HEAD_PX + (double)(picture->deepest - depth) * ROW_PX;
    size_t count;
    write_box(picture, &picture->nodes[at], depth, x_px, y_px);
    uint32_t *children = visible_children(picture, at, &count);
    for (size_t i = 0; i < count; i++) {
        draw(picture, children[i], depth + 1, x_px);
        x_px += (double)picture->nodes[children[i]].value * picture->px_per_value;
    }
    free(children);
}

/* Zooming always scales from where the boxes were first. */
static const char script[] =
    "<script type=\"text/ecmascript\"><![CDATA[\n"
    "(function () {\n"
    "  var W = 1180, M = 10, L = 6.7, boxes = [];\n"
    "  var svg = document.documentElement;\n"
    "  var all = svg.getElementsByClassName('f');\n"
    "  for (var i = 0; i < all.length; i++) {\n"
    "    var g = all[i], r = g.getElementsByTagName('rect')[0];\n"
    "    boxes.push({g: g, r: r, t: g.getElementsByTagName('text')[0],\n"
    "      x: +r.getAttribute('x'), w: +r.getAttribute('width'), d: +g.getAttribute('data-d'),\n"
    "      title: g.getElementsByTagName('title')[0].textContent});\n"
    "  }\n"
    "  function zoom(to) {\n"
    "    var scale = W / to.w;\n"
    "    boxes.forEach(function (b) {\n"
    "      var above = b.d <= to.d && b.x <= to.x + 0.01 && b.x + b.w >= to.x + to.w - 0.01;\n"
    "      var inside = b.d > to.d && b.x >= to.x - 0.01 && b.x + b.w <= to.x + to.w + 0.01;\n"
    "      b.g.style.display = above || inside ? '' : 'none';\n"
    "      if (!above && !inside) return;\n"
    "      var x = above ? M : M + (b.x - to.x) * scale, w = above ? W : b.w * scale;\n"
    "      var name = b.title.replace(/ \\([^()]*\\)$/, ''), n = Math.floor((w - 6) / L);\n"
    "      b.r.setAttribute('x', x); b.r.setAttribute('width', w);\n"
    "      b.t.setAttribute('x', x + 3);\n"
    "      b.t.textContent = n < 3 ? '' : name.length > n ? name.slice(0, n - 2) + '..' : name;\n"
    "      b.g.style.opacity = above && b !== to ? 0.5 : 1;\n"
    "    });\n"
    "  }\n"
    "  boxes.forEach(function (b) { b.g.addEventListener('click', function () { zoom(b); }); });\n"
    "  function search() {\n"
    "    var word = window.prompt('Function names with (regular expression):', '');\n"
    "    if (word === null) return;\n"
    "    var re = word === '' ? null : new RegExp(word);\n"
    "    boxes.forEach(function (b) {\n"
    "      b.r.style.fill = re && re.test(b.title) ? 'rgb(230,0,230)' : '';\n"
    "    });\n"
    "  }\n"
    "  document.getElementById('reset').addEventListener('click', function () {\n"
    "    zoom(boxes[0]);\n"
    "  });\n"
    "  document.getElementById('search').addEventListener('click', search);\n"
    "  window.addEventListener('keydown', function (e) {\n"
    "    if (e.ctrlKey && e.key === 'f') { e.preventDefault(); search(); }\n"
    "  });\n"
    "})();\n"
    "]]></script>\n";

static void write_head(const struct picture *picture, const char *title)
{
    double height_px = HEAD_PX + (double)(picture->deepest + 1) * ROW_PX + FOOT_PX;
    char total[64];
    fprintf(picture->out,
            "<?xml version=\"1.0\" standalone=\"no\"?>\n"
            "<svg version=\"1.1\" width=\"%.0f\" height=\"%.0f\" viewBox=\"0 0 %.0f %.0f\" "
            "xmlns=\"http://www.w3.org/2000/svg\">\n",
            WIDTH_PX, height_px, WIDTH_PX, height_px);
    fputs("<style>text{font:12px monospace;fill:#000}.f{cursor:pointer}"
          ".f:hover rect{stroke:#000}.f text{pointer-events:none;font-size:11px}"
          ".b{cursor:pointer;fill:#555}</style>\n"
          "<rect width=\"100%\" height=\"100%\" fill=\"#f8f8f0\"/>\n"
          "<text x=\"10\" y=\"24\" style=\"font-size:16px\">",
          picture->out);
    write_escaped(picture->out, title, strlen(title));
    fprintf(picture->out, ", %s</text>\n",
            unit_text(picture->total, picture->unit, UNIT_AUTO, total, sizeof(total)));
    fputs("<text id=\"reset\" class=\"b\" x=\"10\" y=\"44\">reset zoom</text>"
          "<text id=\"search\" class=\"b\" x=\"110\" y=\"44\">search</text>\n",
          picture->out);
}

void flame_write(struct flame *flame, FILE *out, const char *title, const char *unit)
{
    int64_t total = flame->nodes[ROOT].value;
    struct picture picture = {
        .out = out,
        .nodes = flame->nodes,
        .unit = unit,
        .total = total,
        .px_per_value = (WIDTH_PX - 2 * MARGIN_PX) / (double)(total > 0 ? total : 1),
    };
    measure(&picture, ROOT, 0);
    write_head(&picture, title);
    draw(&picture, ROOT, 0, MARGIN_PX);
    fputs(script, out);
    fputs("</svg>\n", out);
}
