// Comfort for pages that work without it: charts drawn from tables, controls that need no button, numbers that move.
"use strict";

(() => {
  const EVERY_MS = 2500; // at most one request in 2 s, however fast the answers come
  const SPOKEN_EVERY_MS = 15000;
  const SERIES = 8;
  const byPart = (root) => new Map([...root.querySelectorAll("[data-live]")].map((part) => [part.dataset.live, part]));
  let drawn = null;

  // --- Charts -------------------------------------------------------------------------------------------------------

  const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const compact = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 2 });

  function readTable(table) {
    const names = [...table.tHead.rows[0].cells].slice(1).map((cell) => cell.textContent.trim());
    const rows = [...table.tBodies[0].rows];
    return {
      names,
      labels: rows.map((row) => row.cells[0].textContent.trim()),
      cells: names.map((_, series) => rows.map((row) => row.cells[series + 1])),
    };
  }

  const valueOf = (cell) => (cell.dataset.value === "" ? null : Number(cell.dataset.value));

  function chartColor(names, index) {
    if (names.length === 1) return color("--accent");
    const other = index === names.length - 1 && /^\d+ others?$/.test(names[index]);
    return color(other ? "--series-other" : `--series-${(index % SERIES) + 1}`);
  }

  function draw() {
    const box = document.querySelector("[data-chart]");
    const table = document.querySelector("[data-windows]");
    if (drawn) drawn.destroy();
    drawn = null;
    if (!box || !table || typeof uPlot === "undefined") return;
    const stacked = box.dataset.chart === "stacked";
    const { names, labels, cells } = readTable(table);
    const raw = cells.map((column) => column.map(valueOf));
    // Of stacked series each is drawn as the sum of all up to it, the highest first, the others before it.
    const shown = raw.map((column, series) =>
      stacked ? column.map((_, row) => raw.slice(0, series + 1).reduce((sum, one) => sum + (one[row] ?? 0), 0)) : column);
    const order = names.map((_, series) => series);
    if (stacked) order.reverse();
    const bars = uPlot.paths.bars({ size: [0.72, 72], radius: names.length === 1 ? 0.12 : 0 });
    const series = order.map((index) => ({
      label: names[index],
      ...(stacked
        ? { fill: chartColor(names, index), width: 0, paths: bars, points: { show: false } }
        : { stroke: chartColor(names, index), width: 2, points: { show: labels.length < 60 } }),
      value: (_, __, ___, row) => (row == null ? "" : cells[index][row].textContent.trim()),
    }));
    const axis = { stroke: color("--muted"), font: "12px system-ui, sans-serif", ticks: { show: false } };
    const grid = { stroke: color("--line"), width: 1 };
    const options = {
      width: box.clientWidth || box.parentElement.clientWidth,
      height: box.parentElement.clientWidth < 500 ? 220 : 280,
      padding: [12, 4, 0, 0],
      scales: {
        x: { time: false, range: [-0.6, labels.length - 0.4] },
        y: { range: (_, low, high) => uPlot.rangeNum(Math.min(0, low ?? 0), Math.max(high ?? 1, 0) || 1, { min: { pad: 0.05, soft: 0, mode: 1 }, max: { pad: 0.08, soft: 0, mode: 1 } }) },
      },
      axes: [
        { ...axis, grid: { show: false }, size: 30, space: 84, incrs: [1, 2, 3, 5, 7, 10, 14, 30, 60, 90, 180, 365, 500, 1000, 5000, 10000], values: (_, at) => at.map((row) => (Number.isInteger(row) ? labels[row] ?? "" : "")) },
        { ...axis, grid, size: 62, values: (_, at) => at.map((value) => compact.format(value)) },
      ],
      cursor: { y: false, points: { show: !stacked }, drag: { x: false, y: false } },
      legend: { live: true, markers: { width: 0, fill: (_, at) => (at ? chartColor(names, order[at - 1]) : "transparent") } },
      series: [{ label: document.querySelector("[data-windows] thead th").textContent, value: (_, row) => (row == null ? "–" : labels[row]) }, ...series],
    };
    box.replaceChildren();
    drawn = new uPlot(options, [labels.map((_, row) => row), ...order.map((index) => shown[index])], box);
    // A bar leads where its number in the table leads.
    drawn.over.addEventListener("click", () => {
      const row = drawn.cursor.idx;
      if (row == null) return;
      const height = drawn.posToVal(drawn.cursor.top, "y");
      let series = 0;
      if (stacked) series = Math.max(0, shown.findIndex((column) => height <= column[row]));
      else series = nearest(raw.map((column) => column[row]), height);
      const link = cells[series][row].querySelector("a");
      if (link) location.assign(link.href);
    });
  }

  function nearest(values, wanted) {
    const distances = values.map((value) => (value === null ? Infinity : Math.abs(value - wanted)));
    return distances.indexOf(Math.min(...distances));
  }

  // --- Parts of the page that change --------------------------------------------------------------------------------

  // Makes one tree like another, and touches only what differs: whoever reads or stands in it stays where they are.
  function become(there, wanted) {
    for (const { name, value } of [...wanted.attributes]) if (there.getAttribute(name) !== value) there.setAttribute(name, value);
    for (const { name } of [...there.attributes]) if (!wanted.hasAttribute(name)) there.removeAttribute(name);
    if (there.matches("[data-chart]")) return;
    const [old, next] = [[...there.childNodes], [...wanted.childNodes]];
    next.forEach((node, index) => {
      const one = old[index];
      if (!one) there.append(document.importNode(node, true));
      else if (one.nodeType !== node.nodeType || one.nodeName !== node.nodeName) one.replaceWith(document.importNode(node, true));
      else if (one.nodeType === Node.ELEMENT_NODE) become(one, node);
      else if (one.data !== node.data) one.data = node.data;
    });
    old.slice(next.length).forEach((node) => node.remove());
  }

  // The page at a URL; null where there is none to show, such as after the session has ended.
  async function fetched(url, options) {
    const answer = await fetch(url, { credentials: "same-origin", ...options });
    if (answer.redirected && new URL(answer.url).pathname === "/sign-in") {
      location.reload();
      return null;
    }
    if (answer.status === 401) location.reload(); // a link that has ended says so
    if (!(answer.headers.get("content-type") ?? "").startsWith("text/html")) return null;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    return byPart(page).size ? page : null;
  }

  function show(page) {
    const fresh = byPart(page);
    const before = document.querySelector("[data-windows]")?.outerHTML;
    for (const [name, part] of byPart(document)) if (fresh.has(name)) become(part, fresh.get(name));
    if (document.querySelector("[data-windows]")?.outerHTML !== before) draw();
  }

  // --- Controls -----------------------------------------------------------------------------------------------------

  function controls() {
    const form = document.querySelector("[data-controls]");
    if (!form) return;
    const address = () => {
      const filled = new URLSearchParams([...new FormData(form)].filter(([, value]) => value !== ""));
      if (filled.has("from")) filled.delete("range");
      return new URL(`${form.getAttribute("action")}?${filled}`, location.href).href;
    };
    let asking = null;
    async function ask() {
      const url = address();
      asking?.abort();
      const mine = (asking = new AbortController());
      try {
        const page = await fetched(url, { signal: mine.signal });
        if (page === null) throw new Error("there is no such page");
        if (url !== location.href) history.pushState(null, "", url);
        show(page);
        for (const select of form.querySelectorAll("select")) {
          const other = page.getElementById(select.id);
          if (other) { become(select, other); select.value = other.value; }
        }
      } catch (wrong) {
        if (wrong.name !== "AbortError") location.assign(url);
      }
    }
    form.addEventListener("submit", (event) => { event.preventDefault(); ask(); });
    form.addEventListener("change", (event) => {
      if (event.target.id === "c-range") form.querySelectorAll("#c-from, #c-to").forEach((field) => { field.value = ""; });
      if (event.target.id === "c-range") form.querySelector("#c-window").value = { "24h": "hour", "12w": "week", "12mo": "month" }[event.target.value] ?? "day";
      if (event.target.validity.valid) ask();
    });
    addEventListener("popstate", () => location.reload());
  }

  // --- Live ---------------------------------------------------------------------------------------------------------

  function live() {
    const status = document.querySelector("[data-live-status]");
    if (!status || !document.querySelector("[data-live]")) return;
    const [told, button] = [status.querySelector("[role=status]"), status.querySelector("button")];
    let [paused, timer, spokenAt] = [false, 0, 0];
    const say = (text, now) => {
      if (now || Date.now() - spokenAt >= SPOKEN_EVERY_MS) { told.textContent = text; spokenAt = Date.now(); }
    };
    const wait = () => { clearTimeout(timer); if (!paused && !document.hidden) timer = setTimeout(turn, EVERY_MS); };
    async function turn() {
      try {
        const asked = location.href;
        const page = await fetched(asked, { headers: { "x-meterhouse-live": "1" } });
        if (page !== null && location.href === asked) {
          show(page);
          say(`Live, ${new Date().toLocaleTimeString()}`);
        }
      } catch {
        say("The server does not answer", true);
      }
      wait();
    }
    button.addEventListener("click", () => {
      paused = !paused;
      button.textContent = paused ? "Go on" : "Pause";
      status.classList.toggle("paused", paused);
      say(paused ? "Paused" : "Live", true);
      wait();
    });
    document.addEventListener("visibilitychange", wait);
    status.hidden = false;
    say("Live", true);
    wait();
  }

  draw();
  controls();
  live();
  let width = innerWidth;
  addEventListener("resize", () => { if (innerWidth !== width) { width = innerWidth; draw(); } });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
})();
