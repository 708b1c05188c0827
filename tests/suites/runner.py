"""Runs cases of CPython's own tests and says on a line of its own how each begins and ends.

usage: runner.py SECONDS MODULE[,MODULE...] [PATTERN...]

Cases that match a pattern are left out. After so many seconds every thread's stack is printed, and that is the end.
"""

import faulthandler
import fnmatch
import sys
import time
import unittest

# Cases that take more seconds say so, for whoever wants the suite quicker.
SLOW = 1


def cases(suite):
    for part in suite:
        if isinstance(part, unittest.TestSuite):
            yield from cases(part)
        else:
            yield part


def load(modules):
    for module in modules:
        try:
            yield unittest.defaultTestLoader.loadTestsFromName(module)
        except unittest.SkipTest as reason:
            # The whole of it found something missing.
            print(f"\n@@ {module} skipped\n{reason}", flush=True)


def name(case):
    return "".join(case.id().split())


def say(case, ending):
    print("\n@@", name(case), ending, flush=True)


class Result(unittest.TextTestResult):
    def startTest(self, case):
        super().startTest(case)
        self.began = time.monotonic()
        say(case, "begins")

    def stopTest(self, case):
        super().stopTest(case)
        seconds = time.monotonic() - self.began
        if seconds > SLOW:
            print(f"took {seconds:.1f} s: {name(case)}", flush=True)

    def addSuccess(self, case):
        super().addSuccess(case)
        say(case, "passed")

    def addError(self, case, error):
        super().addError(case, error)
        say(case, "failed")

    def addFailure(self, case, error):
        super().addFailure(case, error)
        say(case, "failed")

    def addSkip(self, case, reason):
        super().addSkip(case, reason)
        say(case, "skipped")
        print(reason)

    def addExpectedFailure(self, case, error):
        super().addExpectedFailure(case, error)
        say(case, "passed")

    def addUnexpectedSuccess(self, case):
        super().addUnexpectedSuccess(case)
        say(case, "failed")

    def addSubTest(self, case, part, error):
        super().addSubTest(case, part, error)
        if error:
            say(case, "failed")


def main():
    seconds, modules, *patterns = sys.argv[1:]
    faulthandler.dump_traceback_later(float(seconds), exit=True)
    wanted = unittest.TestSuite()
    for case in cases(unittest.TestSuite(load(modules.split(",")))):
        if any(fnmatch.fnmatchcase(name(case), pattern) for pattern in patterns):
            say(case, "left-out")
        else:
            wanted.addTest(case)
    result = unittest.TextTestRunner(resultclass=Result, verbosity=0).run(wanted)
    faulthandler.cancel_dump_traceback_later()
    # Parts of cases that fail are counted, but make no case of their own.
    print("\n@@ suite ends")
    return 0 if result.wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(main())
