"""Chromium without a screen, driven over a pipe by the DevTools protocol as a user would: with clicks, keys and eyes."""
import fcntl
import json
import os
import select
import subprocess
import time

from conftest import need

PATIENCE_S = 30


class Browser:
    """One window with one page."""

    def __init__(self, folder):
        to_child, self.to = os.pipe()
        self.back, from_child = os.pipe()
        # Chromium reads from descriptor 3 and writes to 4; first out of their way.
        high = [fcntl.fcntl(end, fcntl.F_DUPFD, 100) for end in (to_child, from_child)]

        def arrange():
            os.dup2(high[0], 3)
            os.dup2(high[1], 4)

        words = [need("chromium-headless-shell"), "--remote-debugging-pipe", "--no-sandbox", "--no-first-run", "--disable-gpu", "--disable-dev-shm-usage", "--disable-extensions",
                 "--disable-background-networking", "--disable-component-update", "--no-proxy-server", "--window-size=1500,1000", f"--user-data-dir={folder}/browser"]
        self.log = open(folder / "browser.log", "wb")
        self.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, preexec_fn=arrange, pass_fds=(3, 4))
        for end in (to_child, from_child, *high):
            os.close(end)
        self.buffer, self.count, self.session = b"", 0, None

    def open(self):
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self.call("Page.enable")

    def call(self, method, **parameters):
        self.count += 1
        number = self.count
        self.send(number, method, parameters)
        while True:
            message = self.receive()
            if message.get("method") == "Page.javascriptDialogOpening":
                self.count += 1
                self.send(self.count, "Page.handleJavaScriptDialog", {"accept": True})
            if message.get("id") == number:
                assert "error" not in message, f"{method} {parameters}: {message['error']}"
                return message["result"]

    def send(self, number, method, parameters):
        message = {"id": number, "method": method, "params": parameters} | ({"sessionId": self.session} if self.session else {})
        os.write(self.to, json.dumps(message).encode() + b"\0")

    def receive(self):
        while b"\0" not in self.buffer:
            assert select.select([self.back], [], [], PATIENCE_S)[0], "the browser says nothing"
            piece = os.read(self.back, 1 << 16)
            assert piece, "the browser ended: " + open(self.log.name, encoding="utf-8", errors="replace").read()[-2000:]
            self.buffer += piece
        message, _, self.buffer = self.buffer.partition(b"\0")
        return json.loads(message)

    def js(self, expression):
        done = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in done, f"{expression}: {done['exceptionDetails']}"
        return done["result"].get("value")

    def until(self, expression, timeout_s=PATIENCE_S):
        """Its value as soon as that is true; while a page is exchanged for another there is none."""
        deadline = time.monotonic() + timeout_s
        while True:
            last = ""
            try:
                if value := self.js(expression):
                    return value
            except AssertionError as failure:
                last = failure
            assert time.monotonic() < deadline, f"in vain: {expression} {last}\n{self.text()[:3000]}"
            time.sleep(0.03)

    def text(self):
        return self.js("document.title + '\\n' + document.body.innerText")

    def goto(self, url):
        self.call("Page.navigate", url=url)
        self.until(f"location.href.startsWith({json.dumps(url)}) && document.readyState == 'complete'")

    def click(self, selector, containing=""):
        """In the middle of the first visible element of that selector whose text contains `containing`, when it rests."""
        x, y = self.until(f"""(async () => {{
            const rest = () => new Promise(resolve => setTimeout(resolve, 60));
            for (const e of document.querySelectorAll({json.dumps(selector)})) {{
                if (!e.textContent.includes({json.dumps(containing)})) continue;
                e.scrollIntoView({{block: 'nearest'}});
                const before = e.getBoundingClientRect();
                if (!before.width || !before.height) continue;
                await rest();
                const r = e.getBoundingClientRect(), x = r.x + r.width / 2, y = r.y + r.height / 2, top = document.elementFromPoint(x, y);
                if (r.x == before.x && r.y == before.y && top && (e.contains(top) || top.contains(e))) return [x, y];
            }}
            return null;
        }})()""")
        for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def write(self, selector, text):
        """As if by an input method, into a field that is emptied first."""
        self.click(selector)
        self.js(f"(e => {{ e.focus(); e.value = ''; }})(document.querySelector({json.dumps(selector)}))")
        self.call("Input.insertText", text=text)

    def press_enter(self):
        for kind, text in (("keyDown", "\r"), ("keyUp", "")):
            self.call("Input.dispatchKeyEvent", type=kind, key="Enter", code="Enter", windowsVirtualKeyCode=13, text=text)

    def stop(self):
        """Orderly, so that none of its processes stays behind."""
        try:
            self.session = None
            self.call("Browser.close")
            self.process.wait(10)
        except (AssertionError, OSError, subprocess.TimeoutExpired):
            self.process.kill()
            self.process.wait()
        for end in (self.to, self.back):
            os.close(end)
        self.log.close()
