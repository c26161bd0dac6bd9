# SPDX-License-Identifier: GPL-2.0
"""The language of syzkaller's descriptions, as far as ours uses it.

What is checked is what syzkaller's compiler refuses: names that are not there, not
used or there twice, lists of the wrong kind, lengths of what is no neighbour,
fields without a fixed size where there has to be one, fields that lack their base
type, resources that nothing makes.
"""

import re

INTS = {"int8": 1, "int16": 2, "int32": 4, "int64": 8, "intptr": 8}
# How many options each takes, at least and at most.
BUILTIN = {"const": (1, 2), "flags": (1, 2), "array": (1, 2), "ptr": (2, 3), "string": (0, 2),
           "stringnoz": (1, 1), "fmt": (2, 2), "len": (1, 2), "bytesize": (1, 2),
           **{name: (0, 2) for name in INTS}}
# syzkaller's own resource.
GIVEN = {"fd"}
TOKEN = re.compile(r'\s*("[^"]*"|-?0x[0-9a-f]+|-?\d+|\w+|[][,:])')


class Wrong(Exception):
    pass


def parse_type(text):
    """(name, options): an option is another one, ("range", ...), or a word or number."""
    tokens = [*TOKEN.findall(text), ""]
    if "".join(tokens) != re.sub(r'\s+(?=(?:[^"]*"[^"]*")*[^"]*$)', "", text):
        raise Wrong(f"not understood: {text}")

    def one():
        name = tokens.pop(0)
        if not re.match(r'[A-Za-z_0-9"-]', name):
            raise Wrong(f"not understood: {text}")
        if not re.match(r"[A-Za-z_]", name):
            if tokens[:1] == [":"]:
                tokens.pop(0)
                return ("range", name, tokens.pop(0))
            return name
        options = []
        if tokens[:1] == ["["]:
            while tokens.pop(0) != "]":
                options.append(one())
                if tokens[:1] not in (["]"], [","]):
                    raise Wrong(f"no end of the options: {text}")
        return (name, options)

    found = one()
    if tokens != [""]:
        raise Wrong(f"more than a type: {text}")
    return found


def split_args(text):
    """Splits at commas that are outside of brackets."""
    args, depth = [""], 0
    for char in text:
        depth += (char == "[") - (char == "]")
        if char == "," and not depth:
            args.append("")
        else:
            args[-1] += char
    return [arg.strip() for arg in args if arg.strip()]


class Description:
    def __init__(self, text):
        self.resources, self.lists, self.structs, self.calls = {}, {}, {}, {}
        self.params, self.used, self.made, self.constants = {}, set(), set(), set()
        self.wrong = []
        self.parse(text)
        self.check()

    def declare(self, table, name, what):
        if name in self.resources or name in self.lists or name in self.structs or \
           name in self.calls or name in BUILTIN or name in GIVEN:
            self.wrong.append(f"{name} is there twice")
        table[name] = what

    def parse(self, text):
        lines = iter(re.sub(r'(?m)#(?=(?:[^"\n]*"[^"\n]*")*[^"\n]*$).*', "", text).split("\n"))
        for line in lines:
            line = line.rstrip()
            if not line or re.fullmatch(r"include <[\w/.]+>", line):
                continue
            if m := re.fullmatch(r"resource (\w+)\[(\w+)\](?:: (.*))?", line):
                self.declare(self.resources, m[1], m[2])
            elif m := re.fullmatch(r"(\w+) = (.*)", line):
                words = re.findall(r'"[^"]*"', m[2]) or m[2].split(", ")
                self.declare(self.lists, m[1], words)
                self.constants |= {word for word in words if word[0].isalpha()}
            elif m := re.fullmatch(r"(?:type (\w+)\[([A-Z, ]+)\]|(\w+)) ([{[])", line):
                name, fields = m[1] or m[3], {}
                for line in lines:
                    end = re.fullmatch(r"([]}])(?: \[(.*)\])?", line)
                    if end:
                        break
                    field, _, kind = line.strip().partition("\t")
                    if field in fields:
                        self.wrong.append(f"{name} has {field} twice")
                    fields[field] = parse_type(kind.strip())
                attributes = split_args(end[2] or "")
                self.params[name] = split_args(m[2]) if m[2] else []
                self.declare(self.structs, name, (m[4] == "[", fields, attributes))
            elif m := re.fullmatch(r"([a-z0-9_]+\$\w+)\((.*)\)(?: (\w+))?", line):
                args = [a.partition(" ") for a in split_args(m[2])]
                self.declare(self.calls, m[1], ({a[0]: parse_type(a[2]) for a in args}, m[3]))
            else:
                raise Wrong(f"not understood: {line}")

    def size(self, kind, params=None):
        """Of one type, in bytes; None if it is not always the same."""
        name, options = kind
        if params and name in params:
            return self.size(params[name])
        if name in INTS:
            return INTS[name]
        if name in ("const", "flags", "len", "bytesize"):
            return self.size(options[1], params) if len(options) > 1 else 8
        if name == "ptr":
            return 8
        if name == "fmt":
            return {"dec": 20, "hex": 18, "oct": 23}[options[0][0]]
        if name in ("string", "stringnoz"):
            words = [options[0]] if isinstance(options[0], str) else self.lists[options[0][0]]
            sizes = {len(w) - 2 + (name == "string") for w in words}
            return sizes.pop() if len(sizes) == 1 else None
        if name == "array":
            one = self.size(options[0], params)
            return one * int(options[1], 0) if one and isinstance(options[-1], str) else None
        if name in self.structs:
            union, fields, attributes = self.structs[name]
            for attribute in attributes:
                if attribute.startswith("size["):
                    return int(attribute[5:-1], 0)
            params = dict(zip(self.params[name], options))
            sizes = [self.size(kind, params) for kind in fields.values()]
            if None in sizes or "varlen" in attributes:
                return None
            return max(sizes) if union else sum(sizes)
        return 4

    def check_type(self, kind, where, fields, params, in_call=False, out=False):
        def wrong(what):
            self.wrong.append(f"{where}: {what}")

        if isinstance(kind, str):
            return
        name, options = kind[0], kind[1]
        if name in params or name == "range":
            return
        self.used.add(name)
        if name in self.resources or name in GIVEN:
            if out:
                self.made.add(name)
            return
        if name in self.structs:
            if len(options) != len(self.params[name]):
                wrong(f"{name} has other parameters")
            for option in options:
                self.check_type(option, where, {}, params, out=out)
            self.check_struct(name, out)
            return
        if name not in BUILTIN:
            wrong(f"there is no {name}")
            return
        least, most = BUILTIN[name]
        if not least <= len(options) <= most:
            wrong(f"{name} has {len(options)} options")
            return
        if name in ("const", "flags", "len", "bytesize") and not in_call and len(options) < 2:
            wrong(f"{name} has no base type")
        if name == "const" and not isinstance(options[0], str) and options[0][0] not in params:
            self.constants.add(options[0][0])
        if name == "flags" or name in ("string", "stringnoz") and options and \
           not isinstance(options[0], str):
            self.used.add(options[0][0])
            words = self.lists.get(options[0][0])
            if words is None or words[0].startswith('"') != (name != "flags"):
                wrong(f"{options[0][0]} is no list for {name}")
        if name in ("len", "bytesize") and options[0][0] not in fields:
            wrong(f"there is no {options[0][0]} beside it")
        if name == "ptr":
            if options[0][0] not in ("in", "out"):
                wrong(f"a pointer goes {options[0][0]}")
            self.check_type(options[1], where, fields, params, out=options[0][0] != "in")
        if name == "array":
            self.check_type(options[0], where, fields, params, out=out)
        if name == "fmt":
            if options[0][0] not in ("dec", "hex", "oct"):
                wrong(f"no format {options[0][0]}")
            self.check_type(options[1], where, fields, params)

    def check_struct(self, name, out):
        union, fields, attributes = self.structs[name]
        if not fields:
            self.wrong.append(f"{name} is empty")
        for n, (field, kind) in enumerate(fields.items()):
            self.check_type(kind, f"{name}.{field}", fields, self.params[name], out=out)
            fixed = "varlen" in attributes if union else \
                "packed" in attributes or n == len(fields) - 1
            if not fixed and not self.params[name] and self.size(kind) is None:
                self.wrong.append(f"{name}.{field} has no fixed size")

    def check(self):
        for name, (args, returned) in self.calls.items():
            for arg, kind in args.items():
                self.check_type(kind, f"{name}({arg})", args, (), in_call=True)
            if returned:
                self.used.add(returned)
                self.made.add(returned)
                if returned not in self.resources:
                    self.wrong.append(f"{name} returns no resource")
        for name, base in self.resources.items():
            if base not in INTS and base not in self.resources and base not in GIVEN:
                self.wrong.append(f"{name} is a {base}, which there is not")
            if name not in self.made:
                self.wrong.append(f"nothing makes a {name}")
        unused = {*self.resources, *self.lists, *self.structs} - self.used
        self.wrong += [f"{name} is not used" for name in sorted(unused)]
        self.wrong = list(dict.fromkeys(self.wrong))
