#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Tests scripts/check_house.py: every rule is silent on a clean little tree and speaks up when that tree is spoilt in one place."""
import os
import shutil
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "scripts"))
sys.dont_write_bytecode = True
import check_house

LICENCE = "// SPDX-License-Identifier: Apache-2.0\n"
HEADER = LICENCE + "// What it is.\n#pragma once\n"
CLEAN = {
    "kernels/common/view.h": HEADER,
    "kernels/scale/scale.h": HEADER + '#include "kernels/common/view.h"\n',
    "kernels/scale/scale.cpp": LICENCE + '#include "kernels/scale/scale.h"\n',
    "kernels/scale/reference.cpp": LICENCE,
    "kernels/scale/cpu_forward.cpp": LICENCE,
    "kernels/scale/case.cpp": LICENCE,
    "core/tensor.h": HEADER + '#include <vector>\n\n#include "kernels/common/view.h"\n',
    "datasets/cifar.h": HEADER + '#include "core/tensor.h"\n',
    "layers/scale.h": HEADER + '#include "core/tensor.h"\n#include "kernels/scale/scale.h"\n',
    "apps/main.cpp": LICENCE + '#include "layers/scale.h"\nint main() {}\n',
    "scripts/run.sh": "#!/usr/bin/env bash\n# SPDX-License-Identifier: Apache-2.0\ntrue\n",
    "CMakeLists.txt": "# SPDX-License-Identifier: Apache-2.0\n",
    "README.md": "[how](docs/how.md#part) and [elsewhere](https://example.org/a)\n",
    "docs/how.md": "[back](../README.md)\n",
    "build/left/over.cpp": "generated TO" "DO\n",
}

# rule -> changes (file -> text, or None to remove it), each of which must give exactly one finding that names the file.
SPOILT = {
    "floors": [
        {"kernels/scale/cpu_forward.cpp": LICENCE + '#include "core/tensor.h"\n'},
        {"layers/scale.h": HEADER + '#include "datasets/cifar.h"\n'},
        {"layers/scale.h": HEADER + '#include "scale.h"\n'},
        {"layers/scale.h": HEADER + '  #  include "../core/tensor.h"\n'},
    ],
    "cycles": [
        {"kernels/common/view.h": HEADER + '#include "kernels/scale/scale.h"\n'},
        {
            "kernels/add/add.h": HEADER + '#include "kernels/scale/scale.h"\n',
            "kernels/mul/mul.h": HEADER + '#include "kernels/add/add.h"\n',
            "kernels/common/view.h": HEADER + '#include "kernels/mul/mul.h"\n',
            "kernels/scale/scale.h": HEADER + '#include "kernels/common/view.h"\n',
        },
    ],
    "licence": [
        {"core/tensor.h": "// What it is.\n#pragma once\n"},
        {"core/tensor.h": "\n" + HEADER},
        {"scripts/run.sh": "#!/usr/bin/env bash\ntrue\n"},
        {"CMakeLists.txt": "project(x)\n"},
        {"core/empty.cpp": ""},
    ],
    "header_comment": [
        {"core/tensor.h": LICENCE + "#pragma once\n"},
        {"core/tensor.h": LICENCE + "// What it is.\n"},
    ],
    "length": [{"core/tensor.h": HEADER + "\n" * check_house.LONGEST_FILE}],
    "names": [
        {"core/string_utils.h": HEADER},
        {"core/helpers/text.h": HEADER},
        {"core/Tensor.h": HEADER},
    ],
    "finished": [
        {"core/tensor.h": HEADER + "// TO" "DO: later\n"},
        {"docs/how.md": "cd /home" "/somebody/isda\n"},
    ],
    "one_loop": [{"kernels/scale/cpu_forward.cpp": LICENCE + "#pragma omp parallel for\n"}],
    "operations": [
        {"kernels/scale/reference.cpp": None},
        {"kernels/scale/cpu_forward.cpp": None},
        {"kernels/scale/case.cpp": None},
        {"kernels/scale/scale.cpp": None},
    ],
    "links": [
        {"README.md": "[how](docs/gone.md)\n"},
        {"README.md": '<img src="docs/images/gone.svg">\n'},
    ],
    "format": [{"core/tensor.h": HEADER + "int  a;\n"}],
}


class CheckHouse(unittest.TestCase):
    def findings(self, rule, changes=None):
        with tempfile.TemporaryDirectory() as root:
            shutil.copy(os.path.join(check_house.ROOT, ".clang-format"), root)
            for path, text in {**CLEAN, **(changes or {})}.items():
                if text is not None:
                    os.makedirs(os.path.join(root, os.path.dirname(path)), exist_ok=True)
                    with open(os.path.join(root, path), "w", encoding="utf-8") as file:
                        file.write(text)
            return list(check_house.RULES[rule](check_house.House(root)))

    def test_clean_tree_has_no_findings(self):
        for rule in check_house.RULES:
            with self.subTest(rule):
                self.assertEqual(self.findings(rule), [])

    def test_every_rule_finds_what_it_is_for(self):
        self.assertEqual(set(SPOILT), set(check_house.RULES))
        for rule, trees in SPOILT.items():
            for changes in trees:
                with self.subTest(rule, changes=list(changes)):
                    if rule == "format" and not check_house.formatter():
                        self.skipTest("needs clang-format 14")
                    findings = self.findings(rule, changes)
                    self.assertEqual(len(findings), 1, findings)
                    self.assertTrue(any(os.path.dirname(path) in findings[0] for path in changes), findings)


if __name__ == "__main__":
    unittest.main()
