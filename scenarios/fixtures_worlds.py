# SPDX-License-Identifier: BSD-2-Clause
"""Worlds that start, worlds with one mistake each, and worlds of devices with a mad configuration."""

import json
import random

from fixture_kit import MARK, Malformed, fixture

# --- worlds --------------------------------------------------------------------------------------

EDU = {"name": "d0", "model": "edu"}
WORLDS = {
    "empty": {},
    "recorded": {"devices": [EDU, {"name": "d1", "model": "e1000e"}, {"name": "d2", "model": "plain"}]},
    "powernv": {"base": "powernv", "devices": [EDU]},
    "powernv-one-window": {"base": "powernv", "devices": [EDU],
                           "spapr": {"windows": 1, "levels": 1, "max_level": "4M", "eeh": False,
                                     "page_sizes": ["64K"], "window_size": "1G"}},
    "noiommu": {"noiommu_enabled": True, "devices": [{**EDU, "noiommu": True}]},
    "noncoherent": {"devices": [{**EDU, "noncoherent": True}, {"name": "d1", "model": "e1000e"}]},
    "coherent": {"enforce_coherency": True, "devices": [EDU]},
    "two-families": {"base": "powernv",
                     "devices": [EDU, {"name": "d1", "model": "e1000e", "tce_family": 1}]},
    "reserved": {"reserved": [{"start": 0, "last": "0xffff"},
                              {"start": "0xfee00000", "last": "0xfeefffff"},
                              {"start": "0xfffffff000000000", "last": "0xffffffffffffffff"}],
                 "devices": [EDU]},
    "small-dma-limit": {"dma_entry_limit": 4, "devices": [EDU]},
    "pages-64k": {"page_size": "64K", "iommu_page_sizes": ["64K", "512M"], "devices": [EDU]},
    "small-aperture": {"aperture": {"start": "0x100000", "last": "0x1fffff"}, "ram": "64M",
                       "devices": [EDU]},
    "no-isolation": {"isolated_msi": False, "unsafe_interrupts": True, "devices": [EDU]},
    "no-dirty-tracking": {"iommu_dirty_tracking": False, "devices": [EDU]},
    "compat-container": {"compat_container": True, "devices": [EDU]},
    "shared-group": {"devices": [{**EDU, "group": 7}, {"name": "d1", "model": "e1000e", "group": 7}]},
    "many-devices": {"devices": [{"name": f"d{i}", "model": "plain"} for i in range(32)]},
    "engines": {"devices": [{"name": "d0", "model": "copy"}, {"name": "d1", "model": "migrate"}]},
    "by-hand": {"devices": [
        {"name": "card", "group": 26, "cdev": 3, "address": "0001:42:1f.7", "config_size": 4096,
         "config": ["000: 86 80 d3 10 00 00 10 00 00 00 00 02", "02c: 86 80 00 00", "100: 01 00 01 00"],
         "bars": [{"size": "128K"}, {"size": 32, "io": True},
                  {"size": "1G", "64bit": True, "prefetchable": True}, None, {"size": 0}],
         "rom_size": "64K", "express_control": "0x7fff", "reset_works": True, "bus_reset": True}]},
}


@fixture("worlds")
def worlds(directory):
    """worlds that start, one file each"""
    for name, world in WORLDS.items():
        text = json.dumps(world, indent=2) + "\n"
        (directory / (name + ".json")).write_text(text, encoding="utf-8")
    return len(WORLDS)


# --- malformed-worlds ----------------------------------------------------------------------------
#
# One file per mistake, and index.tsv as for traces: MARK stands where the error has to be reported.

NO_JSON = [
    ("empty", MARK, "not JSON"),
    ("blank", "\n \n" + MARK, "not JSON"),
    ("word", MARK + "world", "not JSON"),
    ("open", '{\n"ram": 1' + MARK, "end of file"),
    ("comma-last", '{"ram": 1,\n' + MARK + "}", "not JSON"),
    ("comma-missing", '{"ram": 1\n ' + MARK + '"page_size": 4096}', "not JSON"),
    ("colon-missing", '{"ram" ' + MARK + "1}", "':' expected"),
    ("key-bare", "{\n  " + MARK + "ram: 1}", "not JSON"),
    ("quote-single", "{" + MARK + "'ram': 1}", "not JSON"),
    ("behind-the-end", '{"ram": 1}\n' + MARK + "x", "end of file expected"),
    ("comment", "{\n" + MARK + "# big\n}", "not JSON"),
    ("hex-bare", '{"ram": 0' + MARK + "x1000}", "not JSON"),
    ("leading-zero", '{"ram": ' + MARK + "0755}", "not JSON"),
    ("integer-too-big", '{"ram": ' + MARK + "18446744073709551615}", "too big integer"),
    ("bracket", '{"devices": [1' + MARK + "}", "not JSON"),
    ("twice", '{"ram": 1,\n ' + MARK + '"ram": 2}', 'duplicate object key near \'"ram"\''),
    ("twice-inner", '{"devices": [{"name": "d",' + MARK + '"name": "d"}]}', "duplicate object key"),
    ("string-open", '{"base": ' + MARK + '"x86\n}', "unexpected newline"),
    ("deep", "[" * 3000, None),
    ("latin-1", '{"base": "\xe4"}', None),
    ("nul", '{"base": "\\u0000"}', None),
]

WRONG_TYPES = [
    # field, legal value as JSON, what it must be
    ("base", "string", "must be a string"),
    ("page_size", "number", "must be a number"),
    ("ram", "number", "must be a number"),
    ("iommu_page_sizes", "list", "must be a list"),
    ("aperture", "object", "must be an object"),
    ("reserved", "list", "must be a list"),
    ("dma_entry_limit", "number", "must be a number"),
    ("unsafe_interrupts", "bool", "must be true or false"),
    ("isolated_msi", "bool", "must be true or false"),
    ("enforce_coherency", "bool", "must be true or false"),
    ("iommu_dirty_tracking", "bool", "must be true or false"),
    ("noiommu_enabled", "bool", "must be true or false"),
    ("compat_container", "bool", "must be true or false"),
    ("devices", "list", "must be a list"),
]
DEVICE_TYPES = [
    ("model", "string", "must be a string"),
    ("group", "number", "must be a number"),
    ("cdev", "number", "must be a number"),
    ("address", "string", "must be a string"),
    ("config_size", "config_size", "must be 256 or 4096"),
    ("config", "config", "must be a string of hex digits or a list of lines"),
    ("bars", "list", "must be a list"),
    ("rom_size", "number", "must be a number"),
    ("express_control", "number", "must be a number"),
    ("reset_works", "bool", "must be true or false"),
    ("bus_reset", "bool", "must be true or false"),
    ("noiommu", "bool", "must be true or false"),
    ("noncoherent", "bool", "must be true or false"),
    ("tce_family", "number", "must be a number"),
    ("behaviour", "string", "must be a string"),
]
EXAMPLES = [("null", "null"), ("true", "bool"), ("1.5", "fraction"), ("{}", "object")]

NUMBERS_OF_WORLDS = [
    ('"4k"', '"4k" is not a number'), ('"K"', "is not a number"), ('""', "is not a number"),
    ('"0x"', "is not a number"), ('"0x10K"', "is not a number"), ('"4KB"', "is not a number"),
    ('" 4K"', "is not a number"), ('"-1"', "is not a number"), ('"1.5G"', "is not a number"),
    ('"010"', "leading zero"), ("-1", "is negative"), ('"16777216T"', "does not fit 64 bits"),
    ('"18446744073709551616"', "does not fit 64 bits"), ('"0x10000000000000000"', "does not fit"),
]

# What stands in a world, the path of the field, what is wrong.
MACHINES = [
    ("root-list", MARK + "[]", "a world is an object, not a list"),
    ("unknown", '{\n\t' + MARK + '"colour": 1}', "colour: no such field; a world has base, "),
    ("unknown-escaped", '{"\\u0062ase": "x86", ' + MARK + '"a\\nb": 1}', "a?b: no such field"),
    ("unknown-case", '{' + MARK + '"Ram": 1}', "Ram: no such field"),
    ("utf-8", '{"devices": [{"name": "\\u00e4"}], ' + MARK + '"ramm": 1}', "ramm: no such field"),
    ("base-other", '{"base": ' + MARK + '"arm64"}', 'base: there is no base "arm64"'),
    ("page-size-odd", '{"page_size": ' + MARK + "5000}", "page_size: 5000 is no power of two"),
    ("page-size-small", '{"page_size": ' + MARK + '"2K"}', "page_size: 2048 is out of range, which is 4K to 64K"),
    ("page-size-big", '{"page_size": ' + MARK + '"128K"}', "page_size: 131072 is out of range"),
    ("page-size-zero", '{"page_size": ' + MARK + "0}", "page_size: 0 is no power of two"),
    ("sizes-none", '{"iommu_page_sizes": ' + MARK + "[]}", "iommu_page_sizes: has no page size"),
    ("sizes-odd", '{"iommu_page_sizes": ["4K", ' + MARK + '"5K"]}', "iommu_page_sizes[1]: 5120 is no power"),
    ("sizes-twice", '{"iommu_page_sizes": ["4K", ' + MARK + "4096]}", "iommu_page_sizes[1]: this page size"),
    ("sizes-type", '{"iommu_page_sizes": [' + MARK + "true]}", "iommu_page_sizes[0]: must be a number"),
    ("sizes-too-small", '{"page_size": "64K", "iommu_page_sizes": ' + MARK + '["4K"]}', "iommu_page_sizes: the IOMMU"),
    ("aperture-half", '{"aperture": ' + MARK + '{"start": 1}}', "aperture: a range needs both start and last"),
    ("aperture-back", '{"aperture": {"start": "0x2000",\n"last": ' + MARK + '"0x1fff"}}', "aperture.last: 0x1fff lies before"),
    ("aperture-field", '{"aperture": {' + MARK + '"size": 1}}', "aperture.size: no such field; a range has start, last"),
    ("limit-big", '{"dma_entry_limit": ' + MARK + "4294967296}", "dma_entry_limit: 4294967296 is out of range"),
    ("reserved-back", '{"reserved": [{"start": 0, "last": 0}, {"last": ' + MARK + '1, "start": 2}]}',
     "reserved[1].last: 0x1 lies before the start, 0x2"),
    ("reserved-type", '{"reserved": [' + MARK + '"0-1"]}', "reserved[0]: must be an object, not a string"),
    ("reserved-many", '{"reserved": [' + '{"start": 0, "last": 0},\n' * 16 + MARK + '{"start": 0, "last": 0}]}',
     "reserved[16]: a world has at most 16"),
    ("spapr-x86", '{' + MARK + '"spapr": {}}', "spapr: only a world on the base powernv"),
    ("spapr-unknown", '{"base": "powernv", "spapr": {' + MARK + '"tce": 1}}', "spapr.tce: no such field"),
    ("spapr-levels", '{"spapr": {"levels": ' + MARK + '6}, "base": "powernv"}', "spapr.levels: 6 is out of range, which is 1 to 5"),
    ("spapr-no-level", '{"base": "powernv", "spapr": {"levels": ' + MARK + "0}}", "spapr.levels: 0 is out of range"),
    ("spapr-windows", '{"base": "powernv", "spapr": {"windows": ' + MARK + "3}}", "spapr.windows: 3 is out of range"),
    ("spapr-window-end", '{"base": "powernv", "spapr": {"window_start": "3G", "window_size": ' + MARK + '"2G"}}',
     "spapr.window_size: the window ends above 4G"),
    ("spapr-start", '{"base": "powernv", "spapr": {"window_start": ' + MARK + '"3"}}', "spapr.window_start: 0x3 is no multiple"),
    ("spapr-second-start", '{"base": "powernv", "spapr": {"second_window_start": ' + MARK + '"0x800"}}',
     "spapr.second_window_start: 0x800 is no multiple of 4K"),
    ("spapr-page-small", '{"base": "powernv", "spapr": {"page_sizes": ["64K", ' + MARK + '"2K"]}}',
     "spapr.page_sizes[1]: 2048 is out of range, which is 4K to 128T"),
    ("spapr-page-big", '{"base": "powernv", "spapr": {"page_sizes": [' + MARK + '"256T"]}}', "spapr.page_sizes[0]: "),
    ("devices-object", '{"devices": [{"name": "a"}, ' + MARK + "17]}", "devices[1]: must be an object, not a number"),
    ("devices-many", '{"devices": [' + "".join(f'{{"name": "d{i}"}},\n' for i in range(32)) + MARK + '{"name": "x"}]}',
     "devices[32]: a world has at most 32 devices"),
    ("noiommu-off", '{"devices": [{"name": "a", "noiommu": ' + MARK + "true}]}",
     "devices[0].noiommu: the world needs noiommu_enabled"),
    ("group-mixed", '{"noiommu_enabled": true, "devices": [{"name": "a", "group": 5}, {"name": "b",\n'
     '"noiommu": true, "group": ' + MARK + "5}]}", "devices[1].group: group 5 is that of devices[0]"),
    ("cdev-twice", '{"devices": [{"name": "a", "cdev": 9}, {"name": "b", "cdev": ' + MARK + "9}]}",
     "devices[1].cdev: 9 is the cdev of devices[0]"),
    ("name-twice", '{"devices": [{"name": "a"}, {"cdev": 4, "name": ' + MARK + '"a"}]}',
     "devices[1].name: another device has this name"),
]

ONE_DEVICE = [
    ("unknown", MARK + '"irq": 1', "devices[0].irq: no such field; a device has name, model"),
    ("model-other", '"model": ' + MARK + '"rtl8139"', 'devices[0].model: there is no model "rtl8139"'),
    ("group-big", '"group": ' + MARK + '"4G"', "devices[0].group: 4294967296 is out of range"),
    ("address-short", '"address": ' + MARK + '"00:1f.7"', 'devices[0].address: "00:1f.7" is no PCI address'),
    ("address-slot", '"address": ' + MARK + '"0000:00:20.0"', "devices[0].address: "),
    ("address-function", '"address": ' + MARK + '"0000:00:1f.8"', "devices[0].address: "),
    ("address-long", '"address": ' + MARK + '"0000:00:1f.70"', "devices[0].address: "),
    ("address-hex", '"address": ' + MARK + '"0000:0g:1f.7"', "devices[0].address: "),
    ("config-size", '"config_size": ' + MARK + "512", "devices[0].config_size: must be 256 or 4096"),
    ("config-odd", '"config": ' + MARK + '"86808"', 'devices[0].config: byte 0x2: "8" is no byte'),
    ("config-word", '"config": ' + MARK + '"8680 xx"', 'devices[0].config: byte 0x2: "xx" is no byte'),
    ("config-split", '"config": ' + MARK + '"86 8 0"', 'devices[0].config: byte 0x1: "8 " is no byte'),
    ("config-long", '"config_size": 256, "config": ' + MARK + '"' + "00" * 257 + '"', "devices[0].config: byte 0x100 lies behind"),
    ("config-late-size", '"config": ' + MARK + '"' + "00" * 257 + '", "config_size": 256', "devices[0].config: byte 0x100 lies"),
    ("config-longest", '"config": ' + MARK + '"' + "00" * 4097 + '"', "devices[0].config: byte 0x1000 lies behind the 4096"),
    ("line-no-offset", '"config": [' + MARK + '"86 80"]', "devices[0].config[0]: a line begins with its offset"),
    ("line-offset-long", '"config": [' + MARK + '"1000: 86"]', "devices[0].config[0]: a line begins"),
    ("line-offset-0x", '"config": [' + MARK + '"0x0: 86"]', "devices[0].config[0]: a line begins"),
    ("line-type", '"config": ["000: 86", ' + MARK + "128]", "devices[0].config[1]: must be a string"),
    ("line-bytes", '"config": ["000: 86", ' + MARK + '"010: 0"]', 'devices[0].config[1]: byte 0x10: "0" is no'),
    ("line-twice", '"config": ["000: 86 80", ' + MARK + '"001: 80"]', "devices[0].config[1]: byte 0x1 is there twice"),
    ("line-behind", '"model": "edu", "config": [' + MARK + '"0ff: 00 00"]', "devices[0].config[0]: byte 0x100 lies behind"),
    ("bars-seven", '"bars": [null, null, null, null, null, null, ' + MARK + "null]", "devices[0].bars[6]: a device has at most 6"),
    ("bar-type", '"bars": [' + MARK + '"4K"]', "devices[0].bars[0]: must be an object"),
    ("bar-unknown", '"bars": [{' + MARK + '"64 bit": true}]', "devices[0].bars[0].64 bit: no such field"),
    ("bar-odd", '"bars": [null, {"size": ' + MARK + "3000}]", "devices[0].bars[1].size: 3000 is no power of two"),
    ("bar-small", '"bars": [{"size": ' + MARK + "2}]", "devices[0].bars[0].size: 2 is out of range"),
    ("bar-big", '"bars": [{"size": ' + MARK + '"4G"}]', "devices[0].bars[0].size: a BAR of 4G or more is 64bit"),
    ("bar-io-64", '"bars": [{"size": 32, "io": true, "64bit": ' + MARK + "true}]", "devices[0].bars[0].64bit: a BAR of I/O"),
    ("bar-last-64", '"bars": [null, null, null, null, null, {"size": 32, "64bit": ' + MARK + "true}]",
     "devices[0].bars[5].64bit: the last BAR"),
    ("bar-taken", '"bars": [{"size": 32, "64bit": true}, ' + MARK + '{"size": 32}]', "devices[0].bars[1]: the 64-bit BAR"),
    ("rom-odd", '"rom_size": ' + MARK + "5000", "devices[0].rom_size: 5000 is no power of two"),
    ("rom-small", '"rom_size": ' + MARK + '"1K"', "devices[0].rom_size: 1024 is out of range, which is 2K to 16M"),
    ("rom-big", '"rom_size": ' + MARK + '"32M"', "devices[0].rom_size: 33554432 is out of range"),
    ("express-big", '"express_control": ' + MARK + '"0x10000"', "devices[0].express_control: 65536 is out of"),
    ("behaviour-other", '"behaviour": ' + MARK + '"nice"', 'devices[0].behaviour: there is no behaviour "nice"'),
]

NAMES = [
    ("none", MARK + '{"model": "edu"}', "devices[0]: a device needs a name"),
    ("number", '{"name": ' + MARK + "1}", "devices[0].name: must be a string, not a number"),
    ("empty", '{"name": ' + MARK + '""}', "devices[0].name: the name is empty"),
    ("long", '{"name": ' + MARK + '"' + "n" * 32 + '"}', "devices[0].name: a name has at most 31 bytes"),
]


def wrong_types(out, where, fields):
    """Each field with values of every other type."""
    for field, kind, message in fields:
        for value, value_kind in EXAMPLES:
            if value_kind != kind:
                out.marked(f"type-{field}-{value_kind}", where % f'"{field}": {MARK}{value}',
                           f"{field}: {message}")


@fixture("malformed-worlds")
def malformed_worlds(directory):
    """worlds with one mistake each, and index.tsv with the place and words of each error"""
    out = Malformed(directory, ".json")
    device = '{"devices": [{"name": "d0", %s}]}'
    for name, text, message in NO_JSON:
        if message:
            out.marked("json-" + name, text, message, "")
        else:
            out.add("json-" + name, text.encode("latin-1"), 1, 0, "not JSON")
    wrong_types(out, "{\n  %s\n}", WRONG_TYPES)
    wrong_types(out, device, DEVICE_TYPES)
    for number, (text, message) in enumerate(NUMBERS_OF_WORLDS):
        out.marked(f"number-{number:02}", f'{{"ram":\n {MARK}{text}}}', "ram: ")
        out.marked(f"number-bar-{number:02}", device % f'"bars": [{{"size": {MARK}{text}}}]', message)
    for name, text, message in MACHINES:
        out.marked("world-" + name, text, message)
    for name, text, message in ONE_DEVICE:
        out.marked("device-" + name, device % text, message)
    for name, text, message in NAMES:
        out.marked("name-" + name, '{"devices": [' + text + "]}", message)
    return out.close()


# --- config-spaces -------------------------------------------------------------------------------
#
# Nothing keeps a device from having nonsense in its configuration space. Each file is a world with
# one such device, d0; the kernel has to live with all of them.


class Config:
    """4096 bytes, with the registers that every function has."""

    def __init__(self, first_capability):
        self.bytes = bytearray(4096)
        self.put(0x00, 4, 0x10d38086)
        self.put(0x06, 2, 0x0010)  # there is a list of capabilities
        self.put(0x08, 4, 0x02000000)
        self.put(0x34, 1, first_capability)

    def put(self, at, width, value):
        end = min(at + width, len(self.bytes))
        self.bytes[at:end] = value.to_bytes(width, "little")[:end - at]

    def capability(self, at, kind, following=0, rest=b"\xff" * 64):
        self.bytes[at:at + 2] = bytes([kind, following])
        self.bytes[at + 2:256] = (rest + self.bytes[at + 2 + len(rest):256])[:254 - at]
        return self

    def extended(self, at, kind, following=0, version=1, rest=b"\xff" * 64):
        self.put(at, 4, kind | version << 16 | following << 20)
        room = max(0, min(len(rest), 4096 - at - 4))
        self.bytes[at + 4:at + 4 + room] = rest[:room]
        return self


def lists_gone_wrong():
    yield "loop-one", Config(0x40).capability(0x40, 1, 0x40)
    yield "loop-two", Config(0x40).capability(0x50, 5, 0x40).capability(0x40, 1, 0x50, b"")
    yield "odd", Config(0x43).capability(0x40, 9, 0x51).capability(0x50, 5)
    yield "in-header", Config(0x10)
    yield "at-zero", Config(0)
    yield "at-the-end", Config(0xff)
    yield "into-header", Config(0x40).capability(0x40, 1, 0x04)
    yield "same-twice", Config(0x40).capability(0x80, 1).capability(0x40, 1, 0x80, b"\0" * 8)
    yield "overlap", Config(0x40).capability(0x44, 5, 0).capability(0x40, 1, 0x44, b"\0\0")
    express = lambda: Config(0x40).capability(0x40, 0x10, 0, b"\x02\0" + b"\0" * 58)
    yield "ext-loop", express().extended(0x100, 1, 0x100)
    yield "ext-loop-two", express().extended(0x200, 3, 0x100).extended(0x100, 1, 0x200)
    yield "ext-odd", express().extended(0x100, 3, 0x143)
    yield "ext-backwards", express().extended(0x100, 3, 0x040)
    yield "ext-last", express().extended(0x100, 3, 0xffc).extended(0xffc, 1)
    yield "ext-ones", express().extended(0x100, 0xffff, 0xfff, 0xf)
    yield "ext-no-express", Config(0).extended(0x100, 1)
    ones = Config(0)
    ones.bytes[:] = b"\xff" * 4096
    yield "ones", ones
    zeroes = Config(0)
    zeroes.bytes[:] = b"\0" * 4096
    yield "zeroes", zeroes


def every_capability():
    """Each kind where it fits, and at the end, where it does not; full of ones and of zeroes."""
    for kind in list(range(0x18)) + [0xff]:
        for fill, rest in (("ones", b"\xff" * 64), ("zeroes", b"\0" * 64)):
            yield f"cap-{kind:02x}-{fill}", Config(0x40).capability(0x40, kind, 0, rest)
            yield f"cap-{kind:02x}-{fill}-end", Config(0xfc).capability(0xfc, kind, 0, rest)
    for kind in range(0x34):
        for fill, rest in (("ones", b"\xff" * 64), ("zeroes", b"\0" * 64)):
            for at in (0x100, 0xff8):
                config = Config(0x40).capability(0x40, 0x10, 0, b"\x02\0" + b"\0" * 58)
                config.extended(0x100, 3, at if at > 0x100 else 0, rest=b"\0" * 8)
                yield f"ext-{kind:02x}-{fill}-{at:03x}", config.extended(at, kind, rest=rest)


def random_spaces():
    """Lists that are well linked through bytes that mean nothing, and bytes without any sense."""
    chooser = random.Random(7)
    for number in range(60):
        config = Config(0x40)
        config.bytes[0x40:] = chooser.randbytes(4096 - 0x40)
        places = list(range(0x40, 0x100, 4))
        chooser.shuffle(places)
        for at, following in zip([0x40] + places[:5], places[:5] + [0]):
            config.capability(at, chooser.choice([1, 3, 5, 9, 0x10, 0x11, 0x13, 0x14]), following, b"")
        yield f"random-lists-{number:02}", config
        config = Config(chooser.randrange(256))
        config.bytes[0x40:] = chooser.randbytes(4096 - 0x40)
        yield f"random-bytes-{number:02}", config


@fixture("config-spaces")
def config_spaces(directory):
    """worlds of one device each, whose configuration space makes no sense"""
    count = 0
    for part in (lists_gone_wrong, every_capability, random_spaces):
        for name, config in part():
            for size in (256, 4096):
                device = {"name": "d0", "config_size": size, "config": config.bytes[:size].hex(),
                          "bars": [{"size": "4K"}, {"size": 32, "io": True}], "rom_size": "2K",
                          "reset_works": True}
                text = json.dumps({"devices": [device]}) + "\n"
                (directory / f"{name}-{size}.json").write_text(text, encoding="utf-8")
                count += 1
    return count
