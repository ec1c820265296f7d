"""Google's storage-testbench with what answers of its XML interface lack, and those of Google Cloud Storage have: an ETag, and when the object
was written. hone-ship's client insists on both where it compares objects. Run by `stores.py`."""

import email.utils

import testbench

app = testbench.run()


def application(environ, start_response):
    def started(status, headers, *more):
        there = {name.lower(): value for name, value in headers}
        missing = {"ETag": f'"{there.get("x-goog-generation")}"', "Last-Modified": email.utils.formatdate(usegmt=True)}
        headers = headers + [(name, value) for name, value in missing.items() if name.lower() not in there]
        return start_response(status, headers, *more)

    return app(environ, started)
