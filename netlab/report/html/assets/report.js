"use strict";
(function () {
  const read = (id) => JSON.parse(document.getElementById(id).textContent);
  const byId = (id) => document.getElementById(id);
  const all = read("packets-all"), whole = read("packets-whole"), requests = read("requests"), run = read("run");
  const make = (name, text, cls) => { const e = document.createElement(name); if (text) e.textContent = text; if (cls) e.className = cls; return e; };

  /* views */
  const tabs = [...document.querySelectorAll("[role=tab]")];
  function view(tab, focus) {
    for (const one of tabs) {
      const on = one === tab;
      one.setAttribute("aria-selected", on); one.tabIndex = on ? 0 : -1;
      byId(one.getAttribute("aria-controls")).hidden = !on;
    }
    if (focus) tab.focus();
    if (tab.id === "tab-packets") draw();
  }
  tabs.forEach((tab, at) => {
    tab.addEventListener("click", () => view(tab));
    tab.addEventListener("keydown", (e) => {
      const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: tabs.length - 1 }[e.key];
      if (to === undefined) return;
      e.preventDefault(); view(tabs[(to + tabs.length) % tabs.length], true);
    });
  });

  /* packets in a list, of which only the rows in sight exist */
  const list = byId("list"), rows = byId("rows"), high = 22, count = all.time.length;
  let shown = Array.from({ length: count }, (_, i) => i), at = 0;
  const line = (i) => `${String(i + 1).padStart(7)} ${(all.time[i] / 1000).toFixed(3).padStart(12)} ms  ${all.places[all.place[i]].padEnd(28)} ${String(all.length[i]).padStart(5)} B  ${all.texts[all.text[i]]}`;
  function draw() {
    rows.style.height = `${shown.length * high}px`;
    const from = Math.max(0, Math.floor(list.scrollTop / high) - 10);
    rows.replaceChildren(...shown.slice(from, from + Math.ceil(list.clientHeight / high) + 20).map((i, n) => {
      const row = make("div", line(i), from + n === at ? "on" : "");
      row.style.top = `${(from + n) * high}px`; row.dataset.frame = i + 1; row.setAttribute("role", "option");
      return row;
    }));
    byId("count").textContent = ` ${shown.length} of ${count}`;
  }
  list.addEventListener("scroll", draw);
  list.addEventListener("keydown", (e) => {
    const by = { ArrowDown: 1, ArrowUp: -1, PageDown: 20, PageUp: -20 }[e.key];
    if (by) { e.preventDefault(); at = Math.max(0, Math.min(shown.length - 1, at + by)); const y = at * high; if (y < list.scrollTop || y > list.scrollTop + list.clientHeight - high) list.scrollTop = y - 60; draw(); }
    if (e.key === "Enter" && shown.length) packet(shown[at] + 1);
  });
  byId("find").addEventListener("input", (e) => {
    const word = e.target.value.toLowerCase();
    const texts = all.texts.map((t) => t.toLowerCase().includes(word)), places = all.places.map((t) => t.toLowerCase().includes(word));
    shown = []; for (let i = 0; i < count; i++) if (texts[all.text[i]] || places[all.place[i]]) shown.push(i);
    at = 0; list.scrollTop = 0; draw();
  });

  /* one packet: its layers, its bytes, what changed since the hop before */
  const aside = byId("packet"); let from = null, current = 0;
  function hops(number) {
    const key = all.journey[number - 1], found = [];
    if (key < 0) return [number];
    for (let i = 0; i < count; i++) if (all.journey[i] === key) found.push(i + 1);
    return found;
  }
  function hex(bytes, start, end) {
    const box = make("div", "", "hex"), lines = Math.min(Math.ceil(bytes.length / 16), 100);
    for (let l = 0; l < lines; l++) {
      box.append(l.toString(16).padStart(3, "0") + "0  ");
      for (let i = l * 16; i < l * 16 + 16; i++) {
        const b = i < bytes.length ? bytes.charCodeAt(i).toString(16).padStart(2, "0") : "  ";
        box.append(i >= start && i < end ? make("mark", b) : b, " ");
      }
      box.append(" " + [...bytes.slice(l * 16, l * 16 + 16)].map((c) => (c >= " " && c <= "~" ? c : "·")).join("") + "\n");
    }
    return box;
  }
  function close() { aside.hidden = true; current = 0; if (from) from.focus(); }
  function packet(number, opener) {
    if (!(number >= 1 && number <= count)) return;
    if (opener) from = opener;
    current = number;
    const way = hops(number), here = way.indexOf(number), i = number - 1;
    const back = make("button", "◄ hop before"), next = make("button", "next hop ►"), end = make("button", "close");
    back.disabled = here <= 0; next.disabled = here >= way.length - 1;
    back.onclick = () => packet(way[here - 1]); next.onclick = () => packet(way[here + 1]); end.onclick = close;
    aside.replaceChildren(back, next, end, make("h2", `frame ${number} at ${all.places[all.place[i]]}`), make("p", `${(all.time[i] / 1000).toFixed(3)} ms, ${all.length[i]} bytes, sighting ${here + 1} of ${way.length}: ${all.texts[all.text[i]]}`));
    const found = whole[number], before = here > 0 ? whole[way[here - 1]] : null;
    if (!found) {
      const where = run.folder + "/" + run.file;
      aside.append(make("p", `Its bytes are in ${where}; this page has those of the packets that its numbers refer to.`));
    } else {
      aside.append(make("p", found.says));
      const bytes = atob(found.bytes), raw = make("div"), old = {};
      for (const l of before ? before.layers : []) for (const f of l.fields) old[l.name + "/" + f[0]] = f[1];
      raw.append(hex(bytes, 0, 0));
      for (const l of found.layers) {
        const block = make("div", "", "layer"), title = make("button", `${l.osi}  ${l.name} `), dl = make("dl");
        title.append(make("small", l.osi === "L1" ? l.who : `bytes ${l.start}–${l.end}; ${l.who}`));
        const mark = (s, e) => { raw.replaceChildren(hex(bytes, s, e)); for (const o of aside.querySelectorAll(".layer")) o.classList.toggle("on", o === block); };
        title.onclick = () => mark(l.start, l.end);
        for (const f of l.fields) {
          const changed = before && old[l.name + "/" + f[0]] !== undefined && old[l.name + "/" + f[0]] !== f[1];
          const value = make("dd", f[1], changed ? "changed" : "");
          if (changed) value.title = "before: " + old[l.name + "/" + f[0]], value.append(` (was ${old[l.name + "/" + f[0]]})`);
          if (f[3] > 0) { value.tabIndex = 0; value.onclick = value.onfocus = () => mark(f[2], f[2] + f[3]); }
          dl.append(make("dt", f[0]), value);
        }
        block.append(title, dl); aside.append(block);
      }
      aside.append(raw);
    }
    aside.hidden = false; aside.focus();
  }
  function spanPackets(row) {
    const numbers = row.dataset.frames.split(",").map(Number);
    packet(numbers[0], row);
    const p = make("p", row.dataset.span + ": ");
    for (const n of numbers) { const b = make("button", String(n), "frame"); b.dataset.frame = n; p.append(b); }
    aside.insertBefore(p, aside.children[3]);
  }
  document.addEventListener("click", (e) => {
    const on = e.target.closest("[data-frame]");
    if (on) on.dataset.frames ? spanPackets(on) : packet(Number(on.dataset.frame), aside.contains(on) ? null : on);
    const node = e.target.closest("[data-node]");
    if (node) did(node.dataset.node);
  });
  document.addEventListener("keydown", (e) => {
    if ((e.key === "Enter" || e.key === " ") && e.target.closest("g[tabindex]")) { e.preventDefault(); e.target.dispatchEvent(new MouseEvent("click", { bubbles: true })); }
    if (aside.hidden) return;
    if (e.key === "Escape") close();
    const by = { ArrowLeft: -1, ArrowRight: 1 }[e.key], way = by && hops(current), to = by && way[way.indexOf(current) + by];
    if (to) { e.preventDefault(); packet(to); }
  });

  /* the request on the map */
  const pick = byId("request"); let step = -1, timer = 0;
  const request = () => requests[pick ? Number(pick.value) : 0];
  function did(name) {
    const box = byId("node"), ul = make("ul"), found = request();
    box.replaceChildren(make("h3", `What ${name} did`), ul);
    const lines = found ? [...found.events.filter((e) => e[0] === name).map((e) => [e[1], e[2]]), ...found.hops.filter((h) => h[0] === name).map((h) => [h[2], `${h[3]} at ${h[1]}: ${h[4]}`, h[5]])] : [];
    for (const l of lines.sort((a, b) => a[0] - b[0])) {
      const li = make("li", `${l[0].toFixed(3)} ms ${l[1]} `);
      if (l[2]) { const b = make("button", String(l[2]), "frame"); b.dataset.frame = l[2]; li.append(b); }
      ul.append(li);
    }
    if (!lines.length) ul.append(make("li", "nothing for this request"));
  }
  function go(to) {
    const found = request(); if (!found || !found.hops.length) return;
    step = Math.max(0, Math.min(found.hops.length - 1, to));
    const hop = found.hops[step], last = step ? found.hops[step - 1] : hop;
    for (const n of document.querySelectorAll("#map-drawing .node")) {
      const on = n.dataset.node === hop[0]; n.classList.toggle("on", on);
      if (on) { const r = n.querySelector("rect"); byId("walker").setAttribute("cx", Number(r.getAttribute("x")) + 50); byId("walker").setAttribute("cy", r.getAttribute("y")); }
    }
    for (const l of document.querySelectorAll("#map-drawing .link")) l.classList.toggle("on", (l.dataset.a === hop[0] && l.dataset.b === last[0]) || (l.dataset.b === hop[0] && l.dataset.a === last[0]));
    const out = byId("step"), b = make("button", String(hop[5]), "frame"); b.dataset.frame = hop[5];
    out.replaceChildren(` ${step + 1}/${found.hops.length}: ${hop[2].toFixed(3)} ms, ${hop[3]} at ${hop[0]}:${hop[1]} ${hop[4]} `, b);
    did(hop[0]);
  }
  if (pick) {
    const stop = () => { clearInterval(timer); timer = 0; byId("play").textContent = "play"; };
    byId("forward").onclick = () => go(step + 1); byId("back").onclick = () => go(step - 1);
    byId("play").onclick = () => {
      if (timer) return stop();
      step = -1; byId("play").textContent = "stop";
      timer = setInterval(() => { go(step + 1); if (step >= request().hops.length - 1) stop(); }, 350);
    };
    pick.onchange = () => { stop(); go(0); };
    byId("view-map").addEventListener("keydown", (e) => {
      const by = { ArrowRight: 1, ArrowLeft: -1 }[e.key];
      if (by && e.target !== pick && aside.hidden) { e.preventDefault(); go(step + by); }
    });
  }
  view(tabs[0]);
})();
