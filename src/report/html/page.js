// Hover, touch and arrow keys for the charts. Everything shown here also stands in the table under its chart.
(() => {
  "use strict";
  const data = JSON.parse(document.getElementById("data").textContent);
  const tip = document.getElementById("tip");
  const live = document.getElementById("live");
  const reach = 40; // CSS pixels from the pointer within which a point is picked up
  let shown = null; // { mark, row } now highlighted

  const clear = () => {
    if (!shown) return;
    for (const part of [shown.mark, shown.row]) if (part) part.classList.remove("on");
    shown = null;
    tip.hidden = true;
  };

  const line = (name, text) => {
    const part = document.createElement(name);
    part.textContent = text;
    return part;
  };

  const place = (mark) => {
    const at = mark.querySelector(".dot").getBoundingClientRect();
    const size = tip.getBoundingClientRect();
    const middle = at.left + at.width / 2 - size.width / 2;
    const left = Math.max(8, Math.min(middle, document.documentElement.clientWidth - size.width - 8));
    const above = at.top - size.height - 10;
    tip.style.left = left + "px";
    tip.style.top = (above > 4 ? above : at.bottom + 10) + "px";
  };

  for (const figure of document.querySelectorAll("figure[data-chart]")) {
    const svg = figure.querySelector("svg");
    const chart = data[figure.dataset.chart];
    if (!svg || !chart) continue;
    const marks = [...svg.querySelectorAll(".mark")];
    const points = marks.filter((mark) => !mark.classList.contains("rule"));
    const rowOf = (mark) => figure.querySelector('tr[data-row="' + mark.dataset.row + '"]');
    const markOf = new Map(marks.map((mark) => [mark.dataset.row, mark]));

    const show = (mark) => {
      if (shown && shown.mark === mark) return;
      clear();
      const row = rowOf(mark);
      const text = chart.rows[mark.dataset.row];
      tip.replaceChildren(line("strong", text.y), line("span", text.series));
      if (text.x) tip.append(line("span", text.x));
      if (text.interval) tip.append(line("span", text.interval));
      tip.hidden = false;
      for (const part of [mark, row]) if (part) part.classList.add("on");
      shown = { mark, row };
      place(mark);
    };

    const centre = (mark) => {
      const box = mark.querySelector(".dot").getBoundingClientRect();
      return { x: box.left + box.width / 2, y: box.top + box.height / 2 };
    };

    const nearest = (event) => {
      let best = null, least = reach;
      for (const mark of points) {
        const at = centre(mark);
        const distance = Math.hypot(at.x - event.clientX, at.y - event.clientY);
        if (distance < least) [best, least] = [mark, distance];
      }
      return best || event.target.closest(".mark");
    };

    svg.addEventListener("pointermove", (event) => {
      const mark = nearest(event);
      if (mark) show(mark); else clear();
    });
    svg.addEventListener("pointerleave", () => {
      clear();
      if (marks.includes(document.activeElement)) show(document.activeElement);
    });
    svg.addEventListener("click", (event) => {
      const mark = nearest(event);
      if (!mark) return;
      show(mark);
      live.textContent = mark.getAttribute("aria-label");
    });

    // Keyboard: one mark of the chart is a tab stop, the arrow keys move focus and tab stop along.
    const go = (mark) => {
      for (const other of marks) other.setAttribute("tabindex", other === mark ? "0" : "-1");
      mark.focus();
      // The label is read because of the focus; this adds where one is.
      live.textContent = "point " + (marks.indexOf(mark) + 1) + " of " + marks.length;
    };
    const inSeries = (mark) => marks.filter((other) => other.dataset.series === mark.dataset.series);
    const neighbour = (mark, step) => {
      const names = [...new Set(marks.map((other) => other.dataset.series))];
      const name = names[names.indexOf(mark.dataset.series) + step];
      const x = centre(mark).x;
      const off = (other) => Math.abs(centre(other).x - x);
      return marks.filter((other) => other.dataset.series === name).sort((a, b) => off(a) - off(b))[0];
    };
    svg.addEventListener("focusin", (event) => {
      const mark = event.target.closest(".mark");
      if (mark) show(mark);
    });
    svg.addEventListener("focusout", clear);
    svg.addEventListener("keydown", (event) => {
      const mark = event.target.closest(".mark");
      if (!mark || event.altKey || event.ctrlKey || event.metaKey) return;
      const series = inSeries(mark);
      const at = series.indexOf(mark);
      const next = {
        ArrowRight: () => series[at + 1],
        ArrowLeft: () => series[at - 1],
        ArrowDown: () => neighbour(mark, 1),
        ArrowUp: () => neighbour(mark, -1),
        Home: () => series[0],
        End: () => series[series.length - 1],
      }[event.key];
      if (event.key === "Escape") mark.blur();
      if (!next) return;
      event.preventDefault();
      const target = next();
      if (target) go(target);
    });

    for (const row of figure.querySelectorAll("tr[data-row]")) {
      const mark = markOf.get(row.dataset.row);
      if (!mark) continue;
      row.addEventListener("pointerenter", () => mark.classList.add("on"));
      row.addEventListener("pointerleave", () => mark.classList.remove("on"));
    }
  }

  addEventListener("scroll", () => { if (shown) place(shown.mark); }, { passive: true });
  addEventListener("resize", () => { if (shown) place(shown.mark); });
})();
