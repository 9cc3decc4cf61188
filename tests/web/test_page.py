#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The dashboard page in headless Chromium, against a daemon on libvirt's test driver."""

import json
import os
import time
import unittest

from aeroweb import Browser, Daemon, main
from aeroweb.daemon import GIB, build_folder, work_folder
from aeroweb.page import PageChecks

MARKUP = ["<img src=x onerror=alert(1)>", "<script>alert(2)<b>", "a&amp;b \"c\" 'd'", "${7*7}{{7*7}}", "ünïcode-\u202e-rtl"]


class Page(PageChecks, unittest.TestCase):
    def setUp(self) -> None:
        self.browser = Browser()
        self.addCleanup(self.browser.close)
        self.daemon = Daemon(work_folder(self), {**{name: GIB for name in MARKUP}, "web1": 2 * GIB, "db1": 4 * GIB})
        self.addCleanup(self.daemon.stop)
        self.daemon.start()
        self.browser.open(self.daemon.url + "/")
        self.wait_fresh()

    def test_values(self) -> None:
        self.check_values(self.daemon)

    def test_names_stay_text(self) -> None:
        names = self.browser.evaluate("[...document.querySelectorAll('.vm .name > span:first-child')].map(e => e.textContent)")
        self.assertEqual(sorted(names), sorted([*MARKUP, "web1", "db1"]))
        self.assertEqual(self.browser.evaluate("document.querySelectorAll('main img, main script').length"), 0)
        self.assertEqual(self.browser.dialogs, [])
        self.check_calm(self.daemon.url)

    def test_an_alert_is_shown(self) -> None:
        self.assertIn("no alert", self.browser.evaluate("document.getElementById('alerts').textContent"))
        self.daemon.configure({"host": {"reserve": "100T"}})
        self.wait_page("document.querySelector('[data-alert=HostCritical]')", "the alert is on the page")
        self.assertEqual(self.browser.evaluate("document.querySelector('[data-alert=HostCritical]').className"), "critical")
        self.assertEqual(self.browser.evaluate("document.getElementById('state').textContent"), "critical")
        self.assertTrue(self.browser.evaluate("document.title").startswith("("))
        self.check_readable()  # what stands in an alert, too

    def pretend(self, path: str, change: str) -> None:
        """From now on the page is given what the daemon answers as changed by this JavaScript: `a` is the answer, `n` counts them."""
        self.browser.evaluate(f"""(() => {{
          if (!window.changes) {{
            const real = window.fetch;
            window.changes = {{}};
            window.fetch = async (path, options) => {{
              const reply = await real(path, options), change = changes[path.split("?")[0]];
              if (!change) return reply;
              const a = await reply.json();
              change(a);
              return new Response(JSON.stringify(a));
            }};
          }}
          let n = 0;
          changes[{json.dumps(path)}] = a => {{ n++; {change}; }};
        }})()""")
        self.wait_fresh()
        self.wait_fresh()  # the first may have asked before

    def text(self, selector: str) -> str:
        return self.browser.evaluate(f"document.querySelector({json.dumps(selector)}).textContent")

    def listen(self) -> None:
        """From now on window.told is what screen readers are told: each change in a live region."""
        self.browser.evaluate("""(() => {
          window.told = [];
          const observer = new MutationObserver(list => told.push(...list.map(({ target }) => target.textContent)));
          for (const e of document.querySelectorAll("[aria-live], [role=status], [role=alert]"))
            observer.observe(e, { childList: true, characterData: true, subtree: true });
        })()""")

    def test_unsafe_is_told_as_it_is(self) -> None:
        """Where it is not the host's rule that is broken, and only while memory is really taken back."""
        unsafe = "a.unsafe = true; a.connected = true; a.deficit_bytes = 0; a.nodes = []; a.automation = 'running'; "
        nodes = "a.nodes = [['0', 0], ['0-1', null], ['2', 2 ** 31], ['3', 1]].map(([nodes, deficit_bytes]) => ({ nodes, deficit_bytes }))"
        for change, sentence in (
                ("a.deficit_bytes = 2 ** 30", "The virtual machines can take 1.00 GiB more than the host can bear; memory is being taken back."),
                ("a.deficit_bytes = 2 ** 30; a.automation = 'paused'", "The virtual machines can take 1.00 GiB more than the host can bear."),
                ("a.deficit_bytes = 2 ** 30; a.automation = 'dry_run'", "The virtual machines can take 1.00 GiB more than the host can bear."),
                (nodes, "The virtual machines bound to NUMA node 2 can take 2.00 GiB more than it can bear; memory is being taken back."),
                ("", "Virtual machines that cannot swap can take more than the host can bear without swap; memory is being taken back.")):
            self.pretend("/api/status", unsafe + change)
            self.assertEqual(self.text("#envelope-sentence"), sentence)

    def test_an_alert_is_told_once(self) -> None:
        """Its numbers change all the time, which is shown and not told."""
        self.pretend("/api/status", "a.state = 'normal'")
        self.pretend("/api/alerts", "a.recent = []; a.firing = []")  # whatever this machine is short of
        self.listen()
        self.pretend("/api/alerts", """a.recent = []; a.firing = [["GuestStale", "web1", "11111111-2222-3333-4444-555555555555"], ["HostHard", "h", null]]
          .map(([name, subject, uuid]) => ({ name, subject, uuid, severity: "warning", since: "2025-01-01T00:00:00Z", until: null,
                                             message: `not heard of for ${n} s`, advice: "Look." }))""")
        before = self.text("[data-alert=GuestStale] .what")
        self.wait_fresh()
        self.wait_fresh()
        self.assertNotEqual(self.text("[data-alert=GuestStale] .what"), before)
        self.assertEqual(self.browser.evaluate("told"), ["GuestStale of web1 fires; HostHard fires"])
        self.pretend("/api/alerts", "a.recent = []; a.firing = []")
        self.assertEqual(self.browser.evaluate("told.slice(1)"), ["GuestStale of web1 is over; HostHard is over"])
        self.assertIn("no alert", self.text("#alerts"))
        self.check_readable()

    def test_silence_is_told_once(self) -> None:
        self.listen()
        self.daemon.stop()
        self.wait_page("document.getElementById('link').classList.contains('lost')", "the page says that the daemon is gone")
        before = self.text("#link")
        self.wait_page(f"document.getElementById('link').textContent !== {json.dumps(before)}", "the page says for how long")
        self.assertEqual(self.browser.evaluate("told"), ["no answer; trying again"])

    def test_the_envelope_that_was_is_the_one_that_is(self) -> None:
        """What the daemon remembers is without the correction: where there is one, a page just opened drew a step."""
        self.pretend("/api/history", "a.series_bytes.envelope?.fill(2 ** 34)")
        self.pretend("/api/status", "a.envelope_bytes = 2 ** 34; a.correction_bytes = 2 ** 33; a.rule_bytes = 2 ** 33")
        self.browser.evaluate("document.dispatchEvent(new Event('visibilitychange'))")  # as if it had just been opened
        self.wait_fresh()
        self.wait_fresh()
        points = self.browser.evaluate("document.querySelector('#envelope-history .limit').getAttribute('d').slice(1).split(/[LM]/)")
        self.assertGreaterEqual(len(points), 2)
        self.assertEqual(len({point.split()[1] for point in points}), 1, points)

    def test_the_focus_stays(self) -> None:
        """Rows change their places around the one that is used."""
        self.browser.evaluate("document.getElementById('order').value = 'pressure'; "
                              "document.getElementById('order').dispatchEvent(new Event('change'))")
        self.browser.evaluate("""window.button = [...document.querySelectorAll('.vm')][2]; window.lost = 0;
                                 button.addEventListener('blur', () => lost++); button.focus()""")
        order = "[...document.querySelectorAll('.vms > li')].map(li => li.dataset.uuid)"
        uuids = sorted(self.browser.evaluate(order))
        for wanted in (uuids, uuids[::-1], uuids[3:] + uuids[:3]):
            self.pretend("/api/vms", f"for (const vm of a.vms) vm.guest.psi_some_ratio = 1 - {json.dumps(wanted)}.indexOf(vm.uuid) / 10")
            self.assertEqual(self.browser.evaluate(order), wanted)
            self.assertTrue(self.browser.evaluate("document.activeElement === button"))
        self.assertEqual(self.browser.evaluate("lost"), 0)

    def test_what_is_selected_stays(self) -> None:
        """An explanation changes in place."""
        self.pretend("/api/vm", "a.explanation = `It has ${n} MiB, which is what it needs.`")
        self.browser.evaluate("document.querySelector('.vm').click()")
        self.wait_page("document.querySelector('.more .explanation')", "the explanation opens")
        select = "(() => {{ const text = document.querySelector('.more {}').firstChild; getSelection().setBaseAndExtent(text, {}, text, {}); }})()"
        for element, begin, end in ((".explanation", 0, 6), ("dt", 1, 4)):
            self.browser.evaluate(select.format(element, begin, end))
            selected, before = self.browser.evaluate("getSelection().toString()"), self.text(".more .explanation")
            self.assertEqual(len(selected), end - begin)
            self.wait_fresh()
            self.wait_fresh()
            self.assertNotEqual(self.text(".more .explanation"), before)
            self.assertEqual(self.browser.evaluate("getSelection().toString()"), selected)

    def test_explanation_by_keyboard(self) -> None:
        self.check_explanation(self.daemon, "web1")

    def test_filter_and_order(self) -> None:
        self.browser.evaluate("document.getElementById('filter').value = 'b1'; document.getElementById('filter').dispatchEvent(new Event('input'))")
        self.assertEqual(self.browser.evaluate("[...document.querySelectorAll('.vms > li')].length"), 2)
        self.browser.evaluate("document.getElementById('order').value = 'target'; "
                              "document.getElementById('order').dispatchEvent(new Event('change'))")
        self.assertEqual(self.browser.evaluate("document.querySelector('.vms .name span').textContent"), "db1")

    def test_restart(self) -> None:
        self.daemon.stop()
        self.wait_page("document.getElementById('link').classList.contains('lost')", "the page says that the daemon is gone")
        self.assertIn("trying again", self.browser.evaluate("document.getElementById('link-text').textContent"))
        self.daemon.start()
        self.wait_page("document.getElementById('link').classList.contains('live')", "the page lives again")
        self.check_values(self.daemon)

    def test_lines_begin_before_the_page(self) -> None:
        """What the daemon remembers is drawn at once, and again for whoever was away."""
        points = ("Math.min(...[...document.querySelectorAll('#envelope-history .committed, .vm .spark .line:not(.demand)')]"
                  ".map(e => e.getAttribute('d').split('L').length))")
        time.sleep(10)
        self.browser.open(self.daemon.url + "/")
        self.wait_page("document.querySelectorAll('.vm .spark svg').length > 0", "the page is drawn")
        before = self.browser.evaluate("document.body.dataset.refreshed")
        self.assertGreaterEqual(self.browser.evaluate(points), 5, f"after {before} looks")

    def test_looks(self) -> None:
        folder = os.path.join(build_folder(), "screenshots")
        os.makedirs(folder, exist_ok=True)
        self.check_looks(folder)

    def test_readable_by_everyone(self) -> None:
        self.check_readable()


if __name__ == "__main__":
    main()
