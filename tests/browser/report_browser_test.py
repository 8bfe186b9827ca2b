"""Opens every sample report in a browser, wide and narrow, light, dark and printed, and looks for what a reader would trip over.
Usage: report_browser_test.py REPORTS PICTURES"""
import base64
import glob
import os
import re
import sys
import xml.etree.ElementTree as ElementTree

from chromium import Chromium, Page

HERE = os.path.dirname(os.path.abspath(__file__))
INSPECT = open(os.path.join(HERE, "inspect_page.js"), encoding="utf8").read()
VIEWS = [("wide", 1280, "screen"), ("medium", 800, "screen"), ("phone", 360, "screen"), ("small", 320, "screen"), ("paper", 700, "print")]
DRAWINGS = {"full": 7, "minimal": 3, "deep": 6, "one": 6, "empty": 0, "route": 13, "route-wide": 13,
            "route-large": 13, "route-bare": 4, "route-empty": 0}


def save(path, data):
    with open(path, "wb") as f:
        f.write(base64.b64decode(data))


def well_formed(path):
    try:
        ElementTree.parse(path)
        return []
    except ElementTree.ParseError as error:
        return ["not well-formed: %s" % error]


def look(browser, path, view, width, media, scheme, pictures):
    name = os.path.basename(path)[:-5]
    with Page(browser, width, scheme=scheme, media=media) as page:
        page.open("file://" + path)
        found = page.evaluate(INSPECT)
        complaints = found["complaints"]
        complaints += ["console: %s" % e["entry"]["text"] for e in page.events("Log.entryAdded")]
        complaints += ["console: %s" % e["type"] for e in page.events("Runtime.consoleAPICalled")]
        complaints += ["exception: %s" % e["exceptionDetails"]["text"] for e in page.events("Runtime.exceptionThrown")]
        requests = [e["request"]["url"] for e in page.events("Network.requestWillBeSent")]
        complaints += ["fetched %s" % url for url in requests if url != "file://" + path]
        if found["drawings"] != DRAWINGS[name]:
            complaints.append("%d drawings, not %d" % (found["drawings"], DRAWINGS[name]))
        dark = sum(found["background"][:3]) < 382
        if dark != (scheme == "dark" and media == "screen"):
            complaints.append("the wrong colour scheme")
        shot = page.call("Page.captureScreenshot", format="png", captureBeyondViewport=True,
                         clip={"x": 0, "y": 0, "width": width, "height": min(found["height"], 12000), "scale": 1})
        save(os.path.join(pictures, "%s-%s-%s.png" % (name, view, scheme)), shot["data"])
        # The page with everything unfolded must keep to its width too.
        page.evaluate("for (const d of document.querySelectorAll('details')) d.open = true")
        wide = page.evaluate("document.scrollingElement.scrollWidth")
        if wide > width:
            complaints.append("unfolded, the page is %d wide" % wide)
    return complaints


def print_it(browser, path, pictures):
    with Page(browser, 1280, scheme="dark", media="") as page:  # paper is light whatever the screen is
        page.open("file://" + path)
        pdf = page.call("Page.printToPDF", paperWidth=8.27, paperHeight=11.69, printBackground=True, preferCSSPageSize=False)["data"]
    target = os.path.join(pictures, os.path.basename(path)[:-5] + ".pdf")
    save(target, pdf)
    content = open(target, "rb").read()
    pages = len(re.findall(rb"/Type\s*/Page\b(?!s)", content))
    return [] if content.startswith(b"%PDF") and 1 <= pages <= 12 else ["printed on %d pages" % pages]


def main():
    reports, pictures = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
    failed = checked = 0
    with Chromium() as browser:
        for path in sorted(glob.glob(os.path.join(reports, "*.html"))):
            name = os.path.basename(path)[:-5]
            results = [("markup", well_formed(path)), ("printed", print_it(browser, path, pictures))]
            for view, width, media in VIEWS:
                for scheme in ("light", "dark"):
                    results.append(("%s %s" % (view, scheme), look(browser, path, view, width, media, scheme, pictures)))
            for what, complaints in results:
                checked += 1
                if complaints:
                    failed += 1
                    print("FAILED  %s, %s:\n  %s" % (name, what, "\n  ".join(complaints)))
    if checked == 0:
        print("FAILED  no report in %s" % reports)
        return 1
    print("%s %d views of reports in a browser, %d with complaints" % ("ok     " if not failed else "FAILED ", checked, failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
