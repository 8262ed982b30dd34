"""Stands in for `curl` where none is installed: just the options that the documents use.

A machine with nothing but Python, git and make must be able to run the documents' commands.
"""

import argparse
import ssl
import sys
import urllib.error
import urllib.request


def main() -> int:
    """Make one request as curl would; return its exit code."""
    parser = argparse.ArgumentParser(prog="curl")
    parser.add_argument("-s", action="store_true")
    parser.add_argument("-i", action="store_true")
    parser.add_argument("--cert", required=True)
    parser.add_argument("--key", required=True)
    parser.add_argument("--cacert", required=True)
    parser.add_argument("-H", action="append", default=[])
    parser.add_argument("-d", action="append", default=[])
    parser.add_argument("url")
    options = parser.parse_args()
    context = ssl.create_default_context(cafile=options.cacert)
    context.load_cert_chain(options.cert, options.key)
    request = urllib.request.Request(options.url, "&".join(options.d).encode() or None)
    for header in options.H:
        name, _, value = header.partition(":")
        request.add_header(name, value.strip())
    try:
        answer = urllib.request.urlopen(request, context=context, timeout=30)
    except urllib.error.HTTPError as error:
        answer = error
    with answer:
        if options.i:
            print(f"HTTP/1.1 {answer.status} {answer.reason}")
            print(answer.headers)
        sys.stdout.write(answer.read().decode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
