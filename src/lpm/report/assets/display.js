"use strict";
(() => {
  // Particle types: name in the data, text, CSS variable of the colour, neutral or not.
  const TYPES = {
    charged_hadron: ["charged hadron", "--s2", false],
    neutral_hadron: ["neutral hadron", "--s1", true],
    photon: ["photon", "--s3", true],
    electron: ["electron", "--s6", false],
    muon: ["muon", "--s4", false],
    charged: ["charged", "--s2", false],
    neutral: ["neutral", "--s3", true],
    unknown: ["particle", "--s2", false],
  };
  const START = { yaw: 0.92, pitch: 0.26, zoom: 0.98 };
  const DEPTH = 1.55; // distance of the plane from the collision, in units of Δη
  const RADIUS = 0.8; // of the anti-kT jet

  const typeOf = (p, i) => {
    if (p.type && p.type[i] in TYPES) return p.type[i];
    if (p.charge && p.charge[i] !== null) return p.charge[i] === 0 ? "neutral" : "charged";
    return "unknown";
  };

  function display(root) {
    const data = JSON.parse(root.querySelector('script[type="application/json"]').textContent);
    const camera = { ...START };
    const panels = [...root.querySelectorAll(".panel")].map((node) => panel(node, data[node.dataset.series]));
    let waiting = false;
    const draw = () => {
      if (waiting) return;
      waiting = true;
      requestAnimationFrame(() => { waiting = false; for (const p of panels) p.draw(); });
    };

    function panel(node, jets) {
      const canvas = node.querySelector("canvas"), pen = canvas.getContext("2d");
      const select = node.querySelector("select"), read = node.querySelector(".read"), tip = node.querySelector(".tip");
      let index = 0, spots = [], hover = -1;
      jets.forEach((jet, i) => {
        const parts = [`jet ${i + 1}`];
        if (jet.label) parts.push(jet.label);
        select.add(new Option(parts.join(" · "), i));
      });

      const project = (x, y, z) => {
        const unit = camera.zoom * Math.min(canvas.clientWidth, canvas.clientHeight) * 0.42;
        const cy = Math.cos(camera.yaw), sy = Math.sin(camera.yaw), cp = Math.cos(camera.pitch), sp = Math.sin(camera.pitch);
        z -= DEPTH * 0.6; // turn about a point inside the cone
        const x1 = cy * x + sy * z, z1 = -sy * x + cy * z;
        const y1 = cp * y - sp * z1, z2 = sp * y + cp * z1;
        const scale = unit * 4.2 / (4.2 - z2);
        return [canvas.clientWidth / 2 + x1 * scale, canvas.clientHeight * 0.47 - y1 * scale, z2, scale];
      };
      const line = (points, close) => {
        pen.beginPath();
        points.forEach((p, i) => (i ? pen.lineTo(p[0], p[1]) : pen.moveTo(p[0], p[1])));
        if (close) pen.closePath();
      };

      function frame(css) {
        pen.strokeStyle = css("--line");
        pen.lineWidth = 1;
        for (let t = -0.8; t < 0.81; t += 0.2) {
          line([project(t, -RADIUS, DEPTH), project(t, RADIUS, DEPTH)]); pen.stroke();
          line([project(-RADIUS, t, DEPTH), project(RADIUS, t, DEPTH)]); pen.stroke();
        }
        const rim = [];
        for (let i = 0; i < 72; i++) rim.push(project(RADIUS * Math.cos(i * Math.PI / 36), RADIUS * Math.sin(i * Math.PI / 36), DEPTH));
        const apex = project(0, 0, 0);
        pen.globalAlpha = 0.07;
        pen.fillStyle = css("--s2");
        line(rim, true); pen.fill();
        pen.globalAlpha = 1;
        pen.strokeStyle = css("--muted");
        pen.lineWidth = 1.2;
        line(rim, true); pen.stroke();
        pen.globalAlpha = 0.45;
        for (let i = 0; i < 72; i += 9) { line([apex, rim[i]]); pen.lineWidth = 0.7; pen.stroke(); }
        pen.globalAlpha = 1;
        pen.setLineDash([5, 4]);
        line([apex, project(0, 0, DEPTH * 1.25)]); pen.stroke();
        pen.setLineDash([]);
        pen.fillStyle = css("--muted");
        pen.font = `12px ${css("--font")}`;
        pen.textAlign = "center";
        const eta = project(0, -RADIUS * 1.1, DEPTH), phi = project(-RADIUS * 1.1, 0, DEPTH);
        pen.fillText("Δη", eta[0], eta[1]);
        pen.fillText("Δφ", phi[0], phi[1]);
        pen.beginPath(); pen.arc(apex[0], apex[1], 3.5, 0, 2 * Math.PI); pen.fillStyle = css("--ink"); pen.fill();
      }

      function particles(css) {
        const p = jets[index].particles, total = p.pt.reduce((a, b) => a + (b || 0), 0) || 1, apex = project(0, 0, 0);
        const order = p.pt.map((pt, i) => ({ i, pt: pt || 0, at: project(p.deta[i], p.dphi[i], DEPTH) }));
        order.sort((a, b) => a.at[2] - b.at[2] || a.pt - b.pt);
        spots = [];
        for (const { i, pt, at } of order) {
          const [, variable, neutral] = TYPES[typeOf(p, i)], colour = css(variable), share = Math.sqrt(pt / total);
          pen.globalAlpha = Math.min(0.9, 0.16 + 1.3 * share);
          pen.strokeStyle = colour;
          pen.lineWidth = 0.7 + 3.2 * share;
          if (neutral) pen.setLineDash([4, 4]);
          line([apex, at]); pen.stroke();
          pen.setLineDash([]);
          const r = Math.max(1.6, 0.115 * share * at[3] + 1);
          pen.globalAlpha = 0.82;
          pen.beginPath(); pen.arc(at[0], at[1], r, 0, 2 * Math.PI); pen.fillStyle = colour; pen.fill();
          pen.globalAlpha = 1;
          pen.lineWidth = i === hover ? 2.5 : 0.8;
          pen.strokeStyle = i === hover ? css("--ink") : css("--surface");
          pen.stroke();
          spots.push([at[0], at[1], Math.max(r, 6), i]);
        }
      }

      function draw() {
        const ratio = window.devicePixelRatio || 1, w = Math.round(canvas.clientWidth * ratio), h = Math.round(canvas.clientHeight * ratio);
        if (!w || !h) return;
        if (canvas.width !== w || canvas.height !== h) { canvas.width = w; canvas.height = h; }
        const style = getComputedStyle(root), css = (name) => style.getPropertyValue(name).trim();
        pen.setTransform(ratio, 0, 0, ratio, 0, 0);
        pen.clearRect(0, 0, canvas.clientWidth, canvas.clientHeight);
        frame(css);
        particles(css);
      }

      function choose(i) {
        index = (i + jets.length) % jets.length;
        hover = -1; tip.hidden = true;
        select.value = index;
        const { particles: p, jet = {} } = jets[index], parts = [`${p.pt.length} particles`];
        if (jet.pt != null) parts.push(`pT ${Math.round(jet.pt)} GeV`);
        if (jet.mass != null) parts.push(`mass ${jet.mass < 100 ? jet.mass.toFixed(1) : Math.round(jet.mass)} GeV`);
        if (jet.score != null) parts.push(`score ${jet.score.toFixed(3)}`);
        read.textContent = parts.join("  ·  ");
        canvas.setAttribute("aria-label", `${node.dataset.series}, ${select.selectedOptions[0].text}: ${read.textContent}`);
        draw();
      }

      function point(x, y) {
        const hit = spots.reduce((best, s) => ((s[0] - x) ** 2 + (s[1] - y) ** 2 < (s[2] + 3) ** 2 ? s : best), null);
        const now = hit ? hit[3] : -1;
        if (now !== hover) { hover = now; draw(); }
        tip.hidden = !hit;
        if (!hit) return;
        const p = jets[index].particles;
        tip.textContent = `${TYPES[typeOf(p, hover)][0]}${p.charge && p.charge[hover] ? (p.charge[hover] > 0 ? " +" : " −") : ""}\n` +
          `pT  ${p.pt[hover].toPrecision(3)} GeV\nΔη  ${p.deta[hover].toFixed(3)}\nΔφ  ${p.dphi[hover].toFixed(3)} rad`;
        tip.style.left = `${Math.min(x + 14, canvas.clientWidth - tip.offsetWidth - 4)}px`;
        tip.style.top = `${canvas.offsetTop + Math.max(y - tip.offsetHeight - 10, 4)}px`;
      }

      const down = new Map();
      let spread = 0;
      canvas.addEventListener("pointerdown", (e) => { canvas.setPointerCapture(e.pointerId); down.set(e.pointerId, [e.clientX, e.clientY]); tip.hidden = true; spread = 0; });
      for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, (e) => down.delete(e.pointerId));
      canvas.addEventListener("pointerleave", () => { tip.hidden = true; if (hover >= 0) { hover = -1; draw(); } });
      canvas.addEventListener("pointermove", (e) => {
        const before = down.get(e.pointerId);
        if (!before) { const box = canvas.getBoundingClientRect(); point(e.clientX - box.left, e.clientY - box.top); return; }
        down.set(e.pointerId, [e.clientX, e.clientY]);
        if (down.size > 1) {
          const [a, b] = [...down.values()], now = Math.hypot(a[0] - b[0], a[1] - b[1]);
          if (spread) zoom(now / spread);
          spread = now;
        } else turn((e.clientX - before[0]) * 0.009, (e.clientY - before[1]) * 0.009);
      });
      canvas.addEventListener("wheel", (e) => { e.preventDefault(); zoom(Math.exp(-e.deltaY * 0.0012)); }, { passive: false });
      canvas.addEventListener("keydown", (e) => {
        const act = {
          ArrowLeft: () => turn(-0.1, 0), ArrowRight: () => turn(0.1, 0), ArrowUp: () => turn(0, -0.1), ArrowDown: () => turn(0, 0.1),
          "+": () => zoom(1.15), "=": () => zoom(1.15), "-": () => zoom(1 / 1.15),
          "[": () => choose(index - 1), "]": () => choose(index + 1), 0: () => { Object.assign(camera, START); schedule(); },
        }[e.key];
        if (act && !e.ctrlKey && !e.metaKey && !e.altKey) { e.preventDefault(); act(); }
      });
      select.addEventListener("change", () => choose(+select.value));
      for (const b of node.querySelectorAll("button")) b.addEventListener("click", () => choose(index + +b.dataset.step));
      return { draw, choose };
    }

    function schedule() { draw(); }
    function turn(x, y) { camera.yaw += x; camera.pitch = Math.max(-1.55, Math.min(1.55, camera.pitch + y)); draw(); }
    function zoom(f) { camera.zoom = Math.max(0.4, Math.min(8, camera.zoom * f)); draw(); }

    const shown = new Set();
    for (const jets of Object.values(data)) for (const { particles: p } of jets) p.pt.forEach((_, i) => shown.add(typeOf(p, i)));
    const legend = root.querySelector(".legend");
    for (const [name, [text, variable, neutral]] of Object.entries(TYPES)) {
      if (!shown.has(name)) continue;
      const entry = document.createElement("span");
      entry.style.setProperty("--dot", `var(${variable})`);
      entry.textContent = neutral ? `${text} (dashed)` : text;
      legend.append(entry);
    }
    for (const p of panels) p.choose(0);
    new ResizeObserver(draw).observe(root);
    window.addEventListener("themechange", draw);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  }

  for (const root of document.querySelectorAll(".display")) display(root);
})();
