// Show Sinkhorn iteration by iteration, for a toy problem as a table and for an image pair as flows between two images.
// All sentences come from fpc_core/lessons/stepper.py. Only the entries of the plan are computed here, as
// exp((f + g - cost) / epsilon). Text is inserted as textContent, never as markup.
class SinkhornStepper {
  static FLOWS = 1200; // Maximum number of flows that are drawn.
  static RAMP = [
    "#440154",
    "#482878",
    "#3e4989",
    "#31688e",
    "#26828e",
    "#1f9e89",
    "#35b779",
    "#6ece58",
    "#b5de2b",
    "#fde725",
  ];

  constructor(root) {
    this.root = root;
    this.unpacked = new Map();
    root.classList.add("stepper");
    const make = (tag, className = "", text = "") =>
      Object.assign(document.createElement(tag), { className, textContent: text });
    this.make = make;
    this.tabs = ["toy", "pair"].map((problem) => {
      const tab = make("button", "tab", problem === "toy" ? "Toy example (4 × 4)" : "This image pair");
      tab.type = "button";
      tab.dataset.problem = problem;
      tab.addEventListener("click", () => this.choose(problem));
      return tab;
    });
    this.play = make("button", "tab play", "▶ Play");
    this.play.type = "button";
    this.play.addEventListener("click", () => (this.timer ? this.stop() : this.run()));
    const top = make("div", "choices");
    top.append(...this.tabs, this.play);
    this.epsilon = this.slider("epsilon");
    this.step = this.slider("iteration");
    this.epsilon.input.addEventListener("input", () => {
      this.stop();
      this.goTo(Number(this.epsilon.input.value), Infinity);
    });
    this.step.input.addEventListener("input", () => {
      this.stop();
      this.goTo(this.at[0], Number(this.step.input.value));
    });
    this.board = make("div", "board");
    this.description = make("p", "description");
    this.description.setAttribute("role", "status");
    const sliders = make("div", "sliders");
    sliders.append(this.epsilon.label, this.step.label);
    root.replaceChildren(top, sliders, this.description, this.board);
    this.stage = make("div", "stage");
    this.images = [make("img"), make("img")];
    this.canvas = make("canvas");
    this.stage.append(...this.images, this.canvas);
    new ResizeObserver(() => this.draw()).observe(this.board);
  }

  slider(name) {
    const [label, text, input] = [this.make("label", name), this.make("span"), this.make("input")];
    Object.assign(input, { type: "range", min: 0, step: 1, name });
    // After a drag, the arrow keys must turn pages again instead of moving the slider.
    input.addEventListener("pointerup", () => input.blur());
    label.append(text, input);
    return { label, text, input };
  }

  show(data) {
    this.data = data;
    this.unpacked.clear();
    this.images.forEach((image, side) => Object.assign(image, { src: data.pictures[side], alt: data.names[side] }));
    this.choose(this.problem ?? "toy");
  }

  choose(problem) {
    this.stop();
    this.problem = problem;
    this.now = this.data[problem];
    this.tabs.forEach((tab) => tab.setAttribute("aria-pressed", String(tab.dataset.problem === problem)));
    this.board.replaceChildren(problem === "toy" ? this.table() : this.stage);
    this.epsilon.input.max = this.now.runs.length;
    this.goTo(...this.now.start);
  }

  // Show a snapshot of a run, or its last snapshot if it has fewer. The index after the last run is the exact plan.
  goTo(run, snapshot) {
    const result = this.now.runs[run];
    this.at = [run, result ? Math.min(snapshot, result.descriptions.length - 1) : 0];
    this.epsilon.input.value = run;
    this.epsilon.text.textContent = result ? result.name : "ε → 0: exact";
    this.epsilon.input.setAttribute("aria-valuetext", this.epsilon.text.textContent);
    this.step.input.disabled = !result;
    this.step.input.max = result ? result.descriptions.length - 1 : 0;
    this.step.input.value = this.at[1];
    this.step.text.textContent = result ? `iteration ${result.iterations[this.at[1]]}` : "no iterations";
    this.step.input.setAttribute("aria-valuetext", this.step.text.textContent);
    this.description.textContent = result ? result.descriptions[this.at[1]] : this.now.exact.description;
    this.draw();
  }

  run() {
    const result = this.now.runs[this.at[0]];
    if (!result) return;
    if (this.at[1] === result.descriptions.length - 1) this.goTo(this.at[0], 0);
    this.play.textContent = "❚❚ Pause";
    this.timer = setInterval(() => {
      this.goTo(this.at[0], this.at[1] + 1);
      if (this.at[1] === result.descriptions.length - 1) this.stop();
    }, 600);
  }

  stop() {
    clearInterval(this.timer);
    this.timer = null;
    this.play.textContent = "▶ Play";
  }

  floats(text) {
    if (!this.unpacked.has(text)) {
      this.unpacked.set(text, new Float32Array(Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer));
    }
    return this.unpacked.get(text);
  }

  // Return the plan that is shown, in row-major order.
  plan() {
    const [rows, columns] = this.now.shape;
    const plan = new Float64Array(rows * columns);
    const result = this.now.runs[this.at[0]];
    if (!result) {
      for (const [row, column, mass] of this.now.exact.flows) plan[row * columns + column] = mass;
      return plan;
    }
    const cost = this.floats(this.now.cost);
    const from = this.at[1] * (rows + columns);
    const potentials = this.floats(result.potentials).subarray(from, from + rows + columns);
    for (let row = 0, at = 0; row < rows; row += 1) {
      for (let column = 0; column < columns; column += 1, at += 1) {
        plan[at] = Math.exp((potentials[row] + potentials[rows + column] - cost[at]) / result.epsilon);
      }
    }
    return plan;
  }

  draw() {
    if (!this.now) return;
    if (this.problem === "toy") this.fill(this.plan());
    else this.flows(this.plan());
  }

  table() {
    const { names } = this.now;
    const [rows, columns] = this.now.shape;
    const cost = this.floats(this.now.cost);
    const { make } = this;
    const table = make("table", "toy");
    const head = make("tr");
    head.append(
      make("th", "corner", "query ↓  gallery →"),
      ...names.slice(0, columns).map((name) => make("th", "", name)),
      make("th", "", "row sum"),
    );
    this.cells = [];
    this.sums = { rows: [], columns: [] };
    const body = Array.from({ length: rows }, (_, row) => {
      const line = make("tr");
      line.append(make("th", "", names[row]));
      for (let column = 0; column < columns; column += 1) {
        const cell = make("td", "mass");
        const [mass, paid] = [make("b"), make("small", "", `cost ${cost[row * columns + column].toFixed(1)}`)];
        cell.append(mass, paid);
        this.cells.push({ cell, mass });
        line.append(cell);
      }
      const sum = make("td", "sum");
      this.sums.rows.push(sum);
      line.append(sum);
      return line;
    });
    const foot = make("tr");
    foot.append(make("th", "", "column sum"));
    for (let column = 0; column < columns; column += 1) {
      const sum = make("td", "sum");
      this.sums.columns.push(sum);
      foot.append(sum);
    }
    foot.append(make("td", "sum"));
    table.append(head, ...body, foot);
    return table;
  }

  fill(plan) {
    const { a, b } = this.now;
    const [rows, columns] = this.now.shape;
    const top = Math.max(...a, ...b);
    this.cells.forEach(({ cell, mass }, at) => {
      mass.textContent = plan[at].toFixed(3);
      cell.style.setProperty("--share", `${Math.round(85 * Math.min(plan[at] / top, 1))}%`);
      cell.classList.toggle("strong", plan[at] > 0.5 * top);
    });
    const check = (cell, sum, target) => {
      const fits = Math.abs(sum - target) < 5e-4;
      cell.textContent = `${fits ? "✓ " : ""}${sum.toFixed(3)} (target ${target.toFixed(2)})`;
      cell.classList.toggle("fits", fits);
    };
    this.sums.rows.forEach((cell, row) =>
      check(
        cell,
        plan.slice(row * columns, (row + 1) * columns).reduce((x, y) => x + y, 0),
        a[row],
      ),
    );
    this.sums.columns.forEach((cell, column) => {
      let sum = 0;
      for (let row = 0; row < rows; row += 1) sum += plan[row * columns + column];
      check(cell, sum, b[column]);
    });
  }

  flows(plan) {
    const { grid, pair } = this.data;
    const [width, height] = [this.stage.clientWidth, this.stage.clientHeight];
    if (!width || !height) return;
    const ratio = window.devicePixelRatio || 1;
    Object.assign(this.canvas, { width: Math.round(width * ratio), height: Math.round(height * ratio) });
    const context = this.canvas.getContext("2d");
    context.scale(ratio, ratio);
    const scale = this.images[0].clientWidth / grid.width;
    const offset = [this.images[0].offsetLeft, this.images[1].offsetLeft];
    const centre = (side, patch) => [
      offset[side] + scale * ((patch % grid.columns) * grid.stride + grid.patch / 2),
      this.images[0].offsetTop + scale * (Math.floor(patch / grid.columns) * grid.stride + grid.patch / 2),
    ];
    const kept = new Set(pair.rows);
    context.fillStyle = "rgba(255, 255, 255, 0.82)";
    for (let patch = 0; patch < grid.rows * grid.columns; patch += 1) {
      if (kept.has(patch)) continue;
      const [x, y] = centre(0, patch);
      const half = (scale * grid.stride) / 2;
      context.fillRect(x - half, y - half, 2 * half, 2 * half);
    }
    const columns = pair.shape[1];
    const cost = this.floats(pair.cost);
    const total = plan.reduce((sum, mass) => sum + mass, 0);
    const heaviest = Math.max(...pair.a) * total;
    let [low, high] = [Infinity, 0];
    for (const [row, column] of pair.exact.flows) {
      low = Math.min(low, cost[row * columns + column]);
      high = Math.max(high, cost[row * columns + column]);
    }
    const order = [...plan.keys()]
      .filter((at) => plan[at] > 1e-4 * heaviest)
      .sort((one, other) => plan[other] - plan[one]);
    for (const at of order.slice(0, SinkhornStepper.FLOWS).reverse()) {
      const share = Math.sqrt(plan[at] / heaviest);
      const tone = Math.round(9 * Math.min(Math.max((cost[at] - low) / (high - low || 1), 0), 1));
      context.globalAlpha = Math.min(0.05 + 0.95 * share, 1);
      context.strokeStyle = SinkhornStepper.RAMP[tone];
      context.lineWidth = 0.4 + 3.2 * share;
      context.beginPath();
      context.moveTo(...centre(0, pair.rows[Math.floor(at / columns)]));
      context.lineTo(...centre(1, at % columns));
      context.stroke();
    }
  }
}
