# SPDX-License-Identifier: LGPL-2.1-or-later
"""What is checked of the dashboard page, whatever daemon is behind it."""

import json
from typing import Any, Dict

from .daemon import wait_until

# Where a field of the page is in `aerostatctl --json status`.
FIELDS = {
    "committed_bytes": ["committed_bytes"], "capacity_bytes": ["capacity_bytes"], "rule_bytes": ["rule_bytes"], "pool_bytes": ["pool_bytes"],
    "available_bytes": ["available_bytes"], "overcommit_ratio": ["overcommit_ratio"], "allowance_bytes": ["swap", "allowance_bytes"],
    "swap_used_bytes": ["swap", "disk_used_bytes"], "ksm_saved_bytes": ["ksm", "saved_bytes"], "psi_some_ratio": ["psi", "some_ratio"],
}


class PageChecks:
    """Mixed into a test case that has a browser, which is on the page."""

    def wait_page(self, expression: str, what: str, seconds: float = 20) -> Any:
        return wait_until(lambda: self.browser.evaluate(f"!!({expression})"), seconds, what)

    def wait_fresh(self) -> None:
        """Until the page has asked the daemon once more, and shown what it said."""
        count = "Number(document.body?.dataset.refreshed ?? 0)"
        before = self.browser.evaluate(count)
        self.wait_page(f"{count} > {before} && document.getElementById('link').classList.contains('live')", "the page shows what the daemon says")

    def shown(self) -> Dict[str, Any]:
        return self.browser.evaluate("Object.fromEntries([...document.querySelectorAll('[data-field]')]"
                                     ".map(e => [e.dataset.field, e.dataset.value]))")

    def check_values(self, daemon: Any) -> None:
        """Each number is what `aerostatctl --json` says, right before or right after, or between the two."""
        left = set(FIELDS) | {"vms"}
        for _ in range(8):
            before, list_before = daemon.json("status"), daemon.json("list")
            self.wait_fresh()
            shown = self.shown()
            rows = self.browser.evaluate("Object.fromEntries([...document.querySelectorAll('.vms > li')].map(li => [li.dataset.uuid,"
                                         " li.querySelector('.figures span').dataset.value]))")
            after, list_after = daemon.json("status"), daemon.json("list")
            for name in sorted(left - {"vms"}):
                values = []
                for status in (before, after):
                    value = status
                    for key in FIELDS[name]:
                        value = value[key]
                    values.append(value)
                if None in values:
                    ok = shown[name] == "" and values == [None, None]
                else:
                    ok = shown[name] != "" and min(values) - 1e-9 <= float(shown[name]) <= max(values) + 1e-9
                if ok:
                    left.discard(name)
            sizes = [{vm["uuid"]: vm["actual_bytes"] for vm in answer["vms"]} for answer in (list_before, list_after)]
            shown = {uuid: int(value) for uuid, value in rows.items() if value}
            if sizes[0] == sizes[1] and shown == {u: v for u, v in sizes[0].items() if v is not None}:
                left.discard("vms")
            if not left:
                return
        self.fail(f"the page and aerostatctl differ in {sorted(left)}: {shown}")

    def check_explanation(self, daemon: Any, name: str) -> None:
        """Tab and Enter open what `aerostatctl show` explains; once more closes it."""
        find = f"[...document.querySelectorAll('.vm')].find(b => b.querySelector('.name span').textContent === {json.dumps(name)})"
        self.browser.evaluate(f"{find}.focus()")
        self.browser.press("Enter", 13, "\r")
        self.wait_page(f"{find}.getAttribute('aria-expanded') === 'true' && {find}.nextSibling.querySelector('.explanation')",
                       "the explanation opens")

        def same() -> bool:
            explanation = daemon.json("show", name)["explanation"] or "The policy has not seen it yet."
            return self.browser.evaluate(f"{find}.nextSibling.querySelector('.explanation').textContent") == explanation
        wait_until(same, 20, "the page explains as aerostatctl does")
        self.browser.press("Enter", 13, "\r")
        self.wait_page(f"{find}.getAttribute('aria-expanded') === 'false' && {find}.nextSibling.hidden", "the explanation closes")

    def check_calm(self, url: str) -> None:
        """It asked nobody but the daemon, and the policy on its content had nothing to stop."""
        self.assertEqual([request for request in self.browser.requests if not request.startswith((url + "/", "about:"))], [])
        self.assertEqual([error for error in self.browser.errors if "ERR_CONNECTION" not in error], [])

    def check_looks(self, folder: str) -> None:
        """Light and dark, wide and on a phone: different colours, and nothing to scroll sideways. Leaves pictures."""
        colours = set()
        for width, height, phone in ((1280, 1000, False), (820, 1100, False), (390, 844, True)):
            for dark in (False, True):
                self.browser.look(width, height, dark, phone)
                self.wait_fresh()
                colours.add(self.browser.evaluate("getComputedStyle(document.body).backgroundColor"))
                self.assertLessEqual(self.browser.evaluate("document.documentElement.scrollWidth"), width)
                self.browser.screenshot(f"{folder}/page-{width}-{'dark' if dark else 'light'}.png")
        self.assertEqual(len(colours), 2)

    def check_readable(self) -> None:
        """Everything that can be used has a name, everything drawn has a description, and text stands out (WCAG AA: 4.5 to 1)."""
        self.assertEqual(self.browser.evaluate("document.documentElement.lang"), "en")
        self.assertEqual(self.browser.evaluate("[...document.querySelectorAll('[role=img]')].filter(e => !e.closest('[hidden]') &&"
                                               " !e.getAttribute('aria-label')).map(e => e.outerHTML.slice(0, 200))"), [])
        self.assertEqual(self.browser.evaluate("[...document.querySelectorAll('button, a, input, select')].filter(e => !(e.textContent.trim() ||"
                                               " e.labels?.length)).length"), 0)
        for dark in (False, True):
            self.browser.look(1280, 1000, dark)
            self.assertEqual(self.browser.evaluate(CONTRAST), [])


# Text whose contrast with the nearest background behind it is too low.
CONTRAST = """(() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = colour => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const part = c => (c /= 255) <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
  const behind = e => {
    for (; e; e = e.parentElement) {
      const c = rgba(getComputedStyle(e).backgroundColor);
      if (c[3] > 200) return c;
    }
    return [255, 255, 255, 255];
  };
  const bad = new Set();
  for (const e of document.querySelectorAll("body *")) {
    if (e.closest("[hidden], noscript, .skip, svg, .tick") || ![...e.childNodes].some(n => n.nodeType === 3 && n.data.trim())) continue;
    const a = light(rgba(getComputedStyle(e).color)), b = light(behind(e)), ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) bad.add(`${ratio.toFixed(2)} ${e.className || e.tagName}: ${e.textContent.slice(0, 40)}`);
  }
  return [...bad];
})()"""
