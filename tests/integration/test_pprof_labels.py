# SPDX-License-Identifier: MIT
"""`rthooks pprof` with labels and with profiles of memory: tags, cuts, tables by label, kinds.

`go tool pprof` judges the meaning of --tagfocus and its like, where it is installed.
"""
import xml.dom.minidom

import harness
from pprof_case import PprofCase, Writer, go_pprof, server

HEAP = (("alloc_objects", "count"), ("alloc_space", "bytes"), ("inuse_objects", "count"),
        ("inuse_space", "bytes"))


def heap(checkout=5, default_type="inuse_space"):
    """main -> {alpha -> beta, beta}; live bytes by handler: /checkout, /search, two at once, none."""
    writer = Writer(types=HEAP, period=("space", "bytes", 524288), default_type=default_type)
    program = writer.mapping(0x400000, 0x500000, 0, "/usr/bin/demo", "abcd" * 10, flags=(7, 8, 9))
    main = writer.location([("main", "/src/main.c", 12)], 0x401000, program)
    alpha = writer.location([("alpha", "/src/a.c", 3)], 0x402000, program)
    beta = writer.location([("beta", "/src/b.c", 4)], 0x403000, program)
    for stack, blocks, live, size, labels in (
            ([alpha, main], 10, checkout, 65536,
             [("handler", "/checkout"), ("tenant", "x"), ("bytes", (65536, "bytes"))]),
            ([beta, main], 100, 50, 128,
             [("handler", "/search"), ("tenant", "tenant-42"), ("bytes", (128, "bytes"))]),
            ([beta, alpha, main], 7, 7, 200000,
             [("handler", "/checkout"), ("tenant", "y"), ("bytes", 200000), ("size", 7)]),
            ([main], 3, 3, 100,
             [("latency", (1500, "microseconds")), ("handler", "/a"), ("handler", "/b")]),
            ([alpha], 1, 1, 1000, [])):
        writer.sample(stack, [blocks, blocks * size, live, live * size], labels)
    writer.comment("heap: one sample per 512 KiB")
    return writer


TOTAL = 5 * 65536 + 50 * 128 + 7 * 200000 + 3 * 100 + 1000
ALLOCATED = TOTAL + 5 * 65536 + 50 * 128


class Tags(PprofCase):
    def test_tags_shows_the_values_of_each_key_and_what_lacks_it(self):
        out, err = self.pprof("tags", self.save("p", heap()), env={"TZ": "UTC"})
        self.assertEqual(err, "")
        self.assertEqual(out.splitlines(), [
            "File: demo",
            "Build ID: " + "abcd" * 10,
            "heap: one sample per 512 KiB",
            "Type: inuse_space",
            "Time: 2023-11-14 22:13:20 UTC",
            "Duration: 2s, Total samples = 1.65MB",
            "",
            " bytes: Total 1.65MB of 1.65MB (99.93%)",
            "        1.34MB (80.67%): 195.31kB",
            "         320kB (18.88%): 64kB",
            "        6.25kB ( 0.37%): 128B",
            "        1.27kB (0.075%): [no bytes, 2 rows]",
            "",
            " handler: Total 1.65MB of 1.65MB (  100%)",
            "          1.65MB (99.56%): /checkout",
            "          6.25kB ( 0.37%): /search",
            "            300B (0.017%): /a",
            "            300B (0.017%): /b",
            "           1000B (0.058%): [no handler, 1 row]",
            "",
            " latency: Total 300B of 1.65MB (0.017%)",
            "          300B (0.017%): 1.50ms",
            "         1.65MB (  100%): [no latency, 4 rows]",
            "",
            " size: Total 1.34MB of 1.65MB (80.67%)",
            "       1.34MB (80.67%): 7",
            "      327.52kB (19.33%): [no size, 4 rows]",
            "",
            " tenant: Total 1.65MB of 1.65MB (99.93%)",
            "         1.34MB (80.67%): y",
            "          320kB (18.88%): x",
            "         6.25kB ( 0.37%): tenant-42",
            "         1.27kB (0.075%): [no tenant, 2 rows]",
            "",
        ])
        out, _ = self.pprof("tags", "--limit", "1", self.path("p"))
        self.assertIn("         2 more values\n", out)
        self.assertNotIn("128B", out)

    def test_json_has_exact_numbers(self):
        table, _ = self.json("tags", self.save("p", heap()))
        self.assertEqual((table["type"], table["unit"], table["total"]),
                         ("inuse_space", "bytes", TOTAL))
        keys = {key["key"]: key for key in table["keys"]}
        self.assertEqual(list(keys), ["bytes", "handler", "latency", "size", "tenant"])
        self.assertEqual(keys["bytes"]["values"][0], {
            "value": "195.31kB", "number": 200000, "unit": "bytes", "total": 1400000,
            "share": keys["bytes"]["values"][0]["share"], "samples": 1})
        self.assertAlmostEqual(keys["bytes"]["values"][0]["share"], 1400000 / TOTAL)
        self.assertEqual(keys["latency"]["values"][0]["unit"], "microseconds")
        self.assertEqual(
            [(row["value"], row["total"]) for row in keys["handler"]["values"]],
            [("/checkout", 5 * 65536 + 1400000), ("/search", 6400), ("/a", 300), ("/b", 300)])
        self.assertNotIn("unit", keys["handler"]["values"][0])
        # Two labels of one key count twice, what lacks the key does not.
        self.assertEqual(keys["handler"]["total"], TOTAL - 1000 + 300)
        self.assertEqual({name: (key["without"]["total"], key["without"]["samples"])
                          for name, key in keys.items()},
                         {"bytes": (1300, 2), "handler": (1000, 1), "latency": (TOTAL - 300, 4),
                          "size": (TOTAL - 1400000, 4), "tenant": (1300, 2)})

    def test_sample_type_is_the_profiles_choice_or_the_one_asked_for(self):
        path, allocs = self.save("p", heap()), self.save("a", heap(default_type="alloc_space"))
        for file, options, name, checkout in (
                (path, [], "inuse_space", 5 * 65536 + 1400000),
                (path, ["--sample-type", "alloc_objects"], "alloc_objects", 17),
                (path, ["--sample", "inuse_objects"], "inuse_objects", 12),
                (allocs, [], "alloc_space", 10 * 65536 + 1400000)):
            table, _ = self.json("tags", *options, file)
            keys = {key["key"]: key for key in table["keys"]}
            self.assertEqual(table["type"], name)
            self.assertIn(("/checkout", checkout), [(row["value"], row["total"])
                                                    for row in keys["handler"]["values"]])

    def test_several_profiles_are_added(self):
        table, _ = self.json("tags", self.save("p", heap()), self.save("q", heap(checkout=9)))
        handler = [key for key in table["keys"] if key["key"] == "handler"][0]
        self.assertEqual(handler["values"][0]["total"], 14 * 65536 + 2800000)
        self.assertEqual(handler["without"]["samples"], 2)

    def test_a_profile_without_labels_says_so(self):
        writer = Writer(types=HEAP)
        writer.sample([writer.location([("f", "", 0)])], [1, 1, 1, 1])
        out, _ = self.pprof("tags", self.save("p", writer))
        self.assertIn("\n\nNo label in 1 row\n", out)
        self.assertEqual(self.json("tags", self.path("p"))[0]["keys"], [])

    def test_values_end_at_their_limits(self):
        least, most = -1 << 63, (1 << 63) - 1
        writer = Writer(types=(("x", "bytes"),))
        for value, label in ((most, most), (most, most), (least, least), (least, 0), (1, 1)):
            writer.sample([writer.location([("f", "", 0)])], [value],
                          [("size", (label, "bytes")), ("", "empty")])
        path = self.save("p", writer)
        table, _ = self.json("tags", path)
        sizes = {row["value"]: row["total"] for row in table["keys"][1]["values"]}
        self.assertEqual((table["total"], sizes), (most, {
            "8192PB": most, "-8192PB": least, "0": least, "1B": 1}))
        for arguments in (["tags"], ["top", "--by-label", "size"], ["diff", "--by-label", "size"],
                          ["top", "--tagroot", "size", "--tagfocus", "size=-9223372036854775808b:"]):
            self.pprof(*arguments, *([path] * (2 if arguments[0] == "diff" else 1)))

    def test_labels_cannot_give_orders_to_the_terminal(self):
        writer = Writer(types=HEAP)
        writer.sample([writer.location([("f", "", 0)])], [1, 1, 1, 1], [("k\x1b[2J", "v\x9b\n1")])
        for arguments in (["tags"], ["top", "--by-label", "k\x1b[2J"], ["raw"],
                          ["top", "--tagroot", "k\x1b[2J"], ["top", "--tagroot", "no\x1b"]):
            out, err = self.pprof(*arguments, self.save("p", writer))
            self.assertNotRegex((out + err).replace("\n", ""), "[\x00-\x1f\x80-\x9f]")


class Cuts(PprofCase):
    """The cuts by label, in every verb that makes them."""

    def handlers(self, *options):
        table, _ = self.json("tags", *options, self.path("p"))
        return {row["value"]: row["total"] for key in table["keys"] if key["key"] == "handler"
                for row in key["values"]}

    def test_every_verb_shows_only_what_is_in_focus(self):
        path = self.save("p", heap())
        live = 5 * 65536 + 1400000
        cut = ["--tagfocus", "handler=/checkout"]
        table, _ = self.json("top", *cut, path)
        self.assertEqual(table["total"], TOTAL)
        self.assertEqual(self.rows(table), {"alpha": (5 * 65536, live), "beta": (1400000, 1400000),
                                            "main": (0, live)})
        lines, _ = self.json("lines", *cut, path)
        self.assertEqual({(row["file"], row["line"]): row["cum"] for row in lines["rows"]},
                         {("/src/a.c", 3): live, ("/src/b.c", 4): 1400000, ("/src/main.c", 12): live})
        difference, _ = self.json("diff", *cut, path, self.save("q", heap(checkout=9)))
        self.assertEqual(self.rows(difference), {"alpha": (4 * 65536, 4 * 65536),
                                                 "main": (0, 4 * 65536)})
        raw, _ = self.json("raw", *cut, path)
        self.assertEqual([sample["values"][3] for sample in raw["samples"]], [5 * 65536, 1400000])
        out, _ = self.pprof("raw", *cut, path)
        self.assertEqual(out.count("handler=/checkout"), 2)
        self.assertNotIn("/search", out)
        self.assertEqual(self.handlers(*cut), {"/checkout": live})
        flame, _ = self.pprof("flame", *cut, path)
        titles = [node.firstChild.data for node in
                  xml.dom.minidom.parseString(flame).getElementsByTagName("title")]
        self.assertEqual(titles[0], "all (1.65MB, 100%)")
        self.assertIn("alpha (1.65MB, 100%)", titles)
        out, _ = self.pprof("top", *cut, "--tagignore", "bytes=64kb", path)
        self.assertIn("Only labels: handler=/checkout\nWithout labels: bytes=64kb\n", out)

    def test_focus_and_ignore_go_together_with_those_of_functions(self):
        self.save("p", heap())
        self.assertEqual(self.handlers("--tagignore", "tenant=^y$,42"),
                         {"/checkout": 5 * 65536, "/a": 300, "/b": 300})
        self.assertEqual(self.handlers("--tagignore", "1kb:", "--focus", "beta"),
                         {"/search": 6400})
        self.assertEqual(self.handlers("--tagfocus", "handler", "--tagignore", "/checkout",
                                       "--ignore", "beta"), {"/a": 300, "/b": 300})

    def test_what_matches_nothing_is_said(self):
        path = self.save("p", heap())
        for verb in ("top", "lines", "flame", "raw", "tags"):
            _, err = self.pprof(verb, "--tagfocus", "handler=/nothing", path, status=1)
            self.assertEqual(err, "rthooks: --tagfocus matches no sample\n"
                             "rthooks: no sample is selected\n")
        _, err = self.pprof("top", "--tagfocus", "tenant=42", path, status=1)
        self.assertIn("--tagfocus matches no sample; it was read as a range of numbers\n", err)
        _, err = self.pprof("top", "--tagignore", "tennant=x", "--tagroot", "tennant", path)
        self.assertEqual(err, "rthooks: --tagignore matches no sample\n"
                         "rthooks: --tagroot: no sample has the label 'tennant'\n")

    def test_labels_as_frames(self):
        path = self.save("p", heap())
        rows = self.rows(self.json("top", "--tagroot", "handler,size", "--tagleaf", "bytes", path)[0])
        live = 5 * 65536 + 1400000
        self.assertEqual(rows["/checkout"], (0, live))
        self.assertEqual(rows["7"], (0, 1400000))
        self.assertEqual(rows["64kB"], (5 * 65536, 5 * 65536))
        # The number that has no unit of its own is shown as it is.
        self.assertEqual(rows["200000"], (1400000, 1400000))
        self.assertEqual(rows["alpha"], (0, live + 1000))
        self.assertEqual(rows["<unknown>"], (1300, TOTAL - 1400000))
        raw, _ = self.json("raw", "--tagroot", "handler,size", "--tagleaf", "tenant,bytes", path)
        names = [[line["function"] for line in location["lines"]][0]
                 for location in raw["locations"]]
        self.assertEqual([names[location] for location in raw["samples"][0]["locations"]],
                         ["64kB", "x", "alpha", "main", "<unknown>", "/checkout"])
        self.assertEqual([names[location] for location in raw["samples"][3]["locations"]],
                         ["<unknown>", "<unknown>", "main", "<unknown>", "/a,/b"])
        # The others see them as functions, in a file of the key's name.
        focused, _ = self.json("top", "--tagroot", "handler", "--focus", "^/search$", path)
        self.assertEqual(set(self.rows(focused)), {"beta", "main", "/search"})
        flame, _ = self.pprof("flame", "--tagroot", "handler", path)
        self.assertIn("/search (6.25kB, 0.37%)", flame)
        lines, _ = self.json("lines", "--tagroot", "handler", path)
        self.assertIn("handler", {row.get("file") for row in lines["rows"]})

    def test_wrong_use_is_status_2(self):
        path = self.save("p", heap())
        for arguments, text in (
                (["top", "--tagfocus", "handler=("], "'(' is no regular expression"),
                (["top", "--tagignore", "99999999999999999999kb:"], "too large"),
                (["top", "--tagroot", ",".join(map(str, range(17)))], "at most 16 keys"),
                (["top", "--by-label", ""], "the key of a label"),
                (["top", "--by-label", "k", "--lines"], "its rows are labels"),
                (["lines", "--by-label", "k"], "--by-label is for top and diff"),
                (["flame", "--by-label", "k"], "--by-label is for top and diff"),
                (["tags", "--sample-type", "cpu"], "it has alloc_objects, alloc_space, inuse")):
            _, err = self.pprof(*arguments, path, status=2)
            self.assertIn(text, err)


class ByLabel(PprofCase):
    def test_top_by_label(self):
        out, _ = self.pprof("top", "--by-label", "handler", self.save("p", heap()))
        self.assertEqual(out.splitlines()[-6:], [
            "Total: 1694.71kB",
            "     value value%  handler",
            " 1687.19kB 99.56%  /checkout",
            "    6.25kB  0.37%  /search",
            "    0.98kB 0.058%  [no handler]",
            "    0.29kB 0.017%  /a,/b",
        ])
        table, _ = self.json("top", "--by-label", "bytes", "--limit", "2", self.path("p"))
        self.assertEqual([(row["value"], row["total"], row["samples"]) for row in table["rows"]],
                         [("195.31kB", 1400000, 1), ("64kB", 5 * 65536, 1)])
        self.assertEqual((table["label"], table["total"]), ("bytes", TOTAL))

    def test_diff_by_label(self):
        old, new = self.save("old", heap()), self.save("new", heap(checkout=9))
        out, _ = self.pprof("diff", "--by-label", "handler", old, new)
        self.assertEqual(out.splitlines()[-6:], [
            "Total: 1694.71kB before, 1950.71kB after",
            "    before      after      delta delta%  handler",
            " 1687.19kB  1943.19kB      256kB 15.11%  /checkout",
            "    6.25kB     6.25kB          0     0%  /search",
            "    0.98kB     0.98kB          0     0%  [no handler]",
            "    0.29kB     0.29kB          0     0%  /a,/b",
        ])
        table, _ = self.json("diff", "--by-label", "tenant", new, old)
        rows = {row["value"]: (row["before"], row["after"], row["delta"]) for row in table["rows"]}
        self.assertEqual(rows, {"x": (9 * 65536, 5 * 65536, -4 * 65536), "y": (1400000, 1400000, 0),
                                "tenant-42": (6400, 6400, 0), None: (1300, 1300, 0)})
        self.assertEqual(table["rows"][0]["value"], "x")
        self.assertAlmostEqual(table["rows"][0]["share"], -4 * 65536 / table["total"])
        self.assertEqual((table["total"], table["new_total"]), (TOTAL + 4 * 65536, TOTAL))
        table, _ = self.json("diff", "--by-label", "tenant", "--normalize", new, old)
        self.assertEqual(table["new_total"], table["total"])

    def test_cuts_apply_and_an_unknown_key_is_said(self):
        path = self.save("p", heap())
        table, _ = self.json("top", "--by-label", "tenant", "--tagfocus", "handler=/checkout", path)
        self.assertEqual([(row["value"], row["total"]) for row in table["rows"]],
                         [("y", 1400000), ("x", 5 * 65536)])
        out, err = self.pprof("top", "--by-label", "tennant", path)
        self.assertEqual(err, "rthooks: --by-label: no sample has the label 'tennant'\n")
        self.assertIn("  100%  [no tennant]\n", out)


class Kinds(PprofCase):
    """Profiles by name, from a server."""

    def test_named_profiles_are_asked_for_and_shown_in_their_own_way(self):
        empty = Writer(types=HEAP, default_type="inuse_space")
        empty.comment("heap: nothing was allocated since the start")
        mutex = Writer(types=(("contentions", "count"), ("delay", "nanoseconds")))
        mutex.sample([mutex.location([("f", "", 0)])], [3, 2500000])
        answers = {
            "/debug/pprof/heap": (200, heap().bytes()),
            "/debug/pprof/allocs": (200, heap(default_type="alloc_space").bytes()),
            "/debug/pprof/mutex": (200, mutex.bytes()),
            "/debug/pprof/empty": (200, empty.bytes()),
            "/debug/pprof/mmap": (501, b"mmap is not active: no hooks\n\ntry \x1b[2J/debug/x\r\n"),
        }
        with server(answers) as (port, asked):
            url = "http://127.0.0.1:%d" % port
            for arguments, path, kind, total in (
                    (["heap"], "heap", "inuse_space", TOTAL),
                    (["allocs"], "allocs", "alloc_space", ALLOCATED),
                    (["heap", "--seconds", "5"], "heap?seconds=5", "inuse_space", TOTAL),
                    (["heap", "--sample-type", "inuse_objects"], "heap", "inuse_objects", 66),
                    (["mutex"], "mutex", "delay", 2500000)):
                for verb in ("top", "tags"):
                    table, _ = self.json(verb, url, "--profile", *arguments)
                    self.assertEqual(asked[0], "/debug/pprof/" + path)
                    self.assertEqual((table["type"], table["total"]), (kind, total))
                    asked.clear()
            out, _ = self.pprof("top", url, "--profile", "mutex")
            self.assertIn("2.50ms   100%", out)
            for verb in ("top", "tags", "diff"):
                targets = [url, url] if verb == "diff" else [url]
                out, err = self.pprof(verb, *targets, "--profile", "mmap", status=3)
                self.assertEqual(out, "")
                self.assertIn("status 501: mmap is not active: no hooks\nrthooks: try ?[2J/debug/x\n",
                              err)
                out, err = self.pprof(verb, *targets, "--profile", "empty", status=1)
                self.assertIn("the profile is empty; it says:\n"
                              "rthooks: heap: nothing was allocated since the start\n", err)

    def test_a_type_that_is_all_zeros_is_not_called_an_empty_profile(self):
        writer = Writer(types=HEAP, default_type="inuse_space")
        writer.sample([writer.location([("f", "", 0)])], [4, 400, 0, 0], [("handler", "/x")])
        writer.comment("everything was freed")
        for arguments in (["top"], ["tags"], ["flame"], ["top", "--by-label", "handler"]):
            _, err = self.pprof(*arguments, self.save("p", writer), status=1)
            self.assertIn("the profile has no inuse_space; it says:\n"
                          "rthooks: everything was freed\n", err)
        self.pprof("top", "--sample-type", "alloc_space", self.path("p"))


# What is a range, what is not, and which samples it takes.
SPECS = ("handler=/checkout", "handler=/checkout,/search", "handler=", "handler=^/a$", "=x", "x",
         "tenant", "handler:/checkout,tenant:x", "tenant=x,", "/nope", ",", "handle=/checkout",
         "bytes=64kb", "64kb", ":64kb", "32kb:", "1kb:100kb", "bytes=1kb:100", "bytes=64KB:",
         "bytes=65536", "bytes=65536b", "bytes=10s:20s", "bytes=-5:64kb", "bytes=128B:65536bytes",
         "size=7", "7", "6:8", "7size", "size=7kb", "tenant=42", "tenant=-42", "tenant=.?42",
         "latency=1ms:2ms", "latency=1500us", "1ms:2ms", "5:10kb", "64kb ", "a=b=c")


class Go(PprofCase):
    @staticmethod
    def keys_of(text):
        """What stands below the head, without what only rthooks says."""
        lines = text.splitlines()
        start = lines.index("") + 1 if lines and lines[0].startswith("File") else 0
        return [line for line in lines[start:] if ": [no " not in line
                and not line.startswith("No label in ")]

    def test_tags_and_cuts_equal_those_of_go(self):  # timeout=400
        ask = go_pprof(self)
        path = self.save("p", heap())
        chosen = set()
        for option in ("focus", "ignore"):
            for spec in SPECS:
                expected = ask("-tags", "-tag%s=%s" % (option, spec), path).decode()
                result = self.run_rthooks("pprof", "tags", "--tag%s=%s" % (option, spec), path)
                out = result.stdout.decode()
                self.assertEqual(result.status, 0 if out else 1, result)
                self.assertEqual(self.keys_of(out), self.keys_of(expected), (option, spec))
                chosen.add(out)
        # The specs are worth something only if they tell samples apart.
        self.assertGreater(len(chosen), 10)

    def test_labels_as_frames_equal_those_of_go(self):  # timeout=300
        ask = go_pprof(self)
        path, new = self.save("p", heap()), self.save("new", heap(checkout=9))
        for ours, theirs in (
                (["tags", "--sample-type", "alloc_objects", path],
                 ["-tags", "-sample_index=alloc_objects", path]),
                (["tags", path, new], ["-tags", path, new]),
                (["top", path], ["-top", path]),
                (["top", "--tagroot", "handler", path], ["-top", "-tagroot=handler", path]),
                (["top", "--tagroot", "size,handler", path], ["-top", "-tagroot=size,handler", path]),
                (["top", "--tagleaf", "tenant,bytes", path], ["-top", "-tagleaf=tenant,bytes", path]),
                (["top", "--tagroot", "tenant", "--tagleaf", "latency", "--cum", path],
                 ["-top", "-cum", "-tagroot=tenant", "-tagleaf=latency", path]),
                (["lines", "--tagroot", "handler", "--tagfocus", "handler", path],
                 ["-top", "-lines", "-tagroot=handler", "-tagfocus=handler", path]),
                (["top", "--tagroot", "handler", "--focus", "^/search$", path],
                 ["-top", "-tagroot=handler", "-focus=^/search$", path]),
                (["diff", "--tagfocus", "handler=/checkout", path, new],
                 ["-top", "-tagfocus=handler=/checkout", "-diff_base=" + path, new]),
                (["diff", "--tagroot", "handler", path, new],
                 ["-top", "-tagroot=handler", "-diff_base=" + path, new])):
            out, _ = self.pprof(*ours, env={"TZ": "UTC"})
            expected = ask(*theirs).decode()
            if ours[0] == "tags":
                self.assertEqual(self.keys_of(out), self.keys_of(expected), ours)
                continue
            table, want = out.splitlines(), expected.splitlines()
            self.assertEqual(table[[line.startswith("Showing") for line in table].index(True):],
                             want[[line.startswith("Showing") for line in want].index(True):], ours)


if __name__ == "__main__":
    harness.main()
