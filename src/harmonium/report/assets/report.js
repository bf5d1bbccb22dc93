"use strict";
(() => {
  const charts = JSON.parse(document.getElementById("charts").textContent);
  const coarse = window.matchMedia("(pointer: coarse)").matches;
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  let shown = "both";

  const named = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

  // "@data:0.5" -> the page's color of that name, half transparent.
  function color(token) {
    const [name, opacity] = token.slice(1).split(":");
    const value = named(name);
    if (opacity === undefined) return value;
    const parts = [1, 3, 5].map((at) => parseInt(value.slice(at, at + 2), 16));
    return `rgba(${parts.join(",")},${opacity})`;
  }

  // Only values under keys that mean a color are replaced: texts of the data may look like anything.
  function painted(value, key) {
    if (Array.isArray(value)) return value.map((item) => painted(item, key));
    if (value !== null && typeof value === "object") {
      return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, painted(item, name)]));
    }
    const isColor = /color$/.test(key || "") && typeof value === "string" && value.startsWith("@");
    return isColor ? color(value) : value;
  }

  function axis(own) {
    const title = own.title ? { ...own.title, standoff: 8 } : undefined;
    const lines = { gridcolor: named("grid"), zerolinecolor: named("line"), linecolor: named("line") };
    return { automargin: true, fixedrange: coarse, ...lines, ...own, title };
  }

  function layout(own) {
    const paper = painted(own);
    return {
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: "system-ui, sans-serif", size: 12, color: named("text") },
      margin: { l: 44, r: 10, t: own.showlegend || own.annotations ? 34 : 8, b: 36 },
      showlegend: false,
      legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom", bgcolor: "rgba(0,0,0,0)" },
      hoverlabel: { bgcolor: named("card"), bordercolor: named("line"), font: { color: named("text") } },
      modebar: { bgcolor: "rgba(0,0,0,0)", color: named("soft"), activecolor: named("text") },
      hovermode: "closest",
      barmode: "overlay",
      dragmode: coarse ? false : "zoom",
      ...paper,
      xaxis: axis(paper.xaxis || {}),
      yaxis: axis(paper.yaxis || {}),
    };
  }

  const options = {
    responsive: true,
    displaylogo: false,
    displayModeBar: coarse ? false : "hover",
    modeBarButtons: [["zoom2d", "pan2d", "resetScale2d", "toImage"]],
  };

  function traces(place) {
    const inPairs = place.closest(".pairs") !== null;
    return painted(charts[place.dataset.chart].data).map((trace) => ({
      ...trace,
      visible: !inPairs || shown === "both" || trace.name === shown,
    }));
  }

  function draw(place) {
    Plotly.react(place, traces(place), layout(charts[place.dataset.chart].layout), options);
    place.dataset.drawn = "true";
  }

  const places = [...document.querySelectorAll(".chart")];
  const redraw = () => places.filter((place) => place.dataset.drawn).forEach(draw);

  // A page of forty charts opens at once if each is drawn when it comes near.
  const watcher = new IntersectionObserver(
    (entries) => {
      for (const entry of entries) {
        if (entry.isIntersecting && !entry.target.dataset.drawn) draw(entry.target);
      }
    },
    { rootMargin: "600px" },
  );
  places.forEach((place) => watcher.observe(place));
  window.addEventListener("beforeprint", () => places.forEach(draw));
  dark.addEventListener("change", redraw);

  const buttons = [...document.querySelectorAll("[data-show]")];
  for (const button of buttons) {
    button.addEventListener("click", () => {
      shown = button.dataset.show;
      buttons.forEach((other) => other.setAttribute("aria-pressed", String(other === button)));
      places.filter((place) => place.dataset.drawn && place.closest(".pairs")).forEach(draw);
    });
  }
})();
