// The switch and the tools with which the visitor drops patches by hand, and the patch grids on which strokes are drawn.

class MaskEditor {
  /** @type {(survived: string) => void} sends the visitor's choice to the server, empty for the model's choice */
  send = () => {};
  /** @type {() => number[] | null} returns the masks on screen, with which the visitor starts */
  shown = () => null;
  /** @type {number[] | null} the model's choice; null if the server has not sent it */
  model = null;
  /** @type {{layer: number, index: number} | null} */
  hovered = null;
  /** @type {WeakMap<PatchGrid, number[]>} the masks that the labels of a grid describe */
  labelled = new WeakMap();

  /**
   * @param {number} layers number of pruning layers
   * @param {{toggle: HTMLElement, tools: HTMLElement}} nodes
   */
  constructor(layers, { toggle, tools }) {
    this.painting = new Painting(layers);
    this.toggle = toggle;
    this.toggle.addEventListener("click", () => (this.isOn ? this.stop() : this.start()));
    this.tools = tools;
    const button = (text, title, act) => {
      const node = element("button", "tool", text);
      node.type = "button";
      node.title = title;
      node.addEventListener("click", act);
      tools.append(node);
      return node;
    };
    this.undoButton = button("Undo", "Undo the last change (Ctrl+Z)", () => this.undo());
    this.modelButton = button("Model's choice", "Start again from the patches that the model drops", () =>
      this.change(this.painting.replace(this.model)),
    );
    this.keepButton = button("Keep all", "Drop nothing, as at a keep rate of 1", () =>
      this.change(this.painting.replace(this.painting.survived.map(() => layers))),
    );
    tools.setAttribute("role", "group");
    tools.setAttribute("aria-label", "Prune by hand");
  }

  get isOn() {
    return this.painting.survived !== null;
  }

  /** Whether the visitor has not changed the model's choice yet. */
  get isUnchanged() {
    const { survived, history, stroke } = this.painting;
    return !stroke && !history.length && survived.every((count, patch) => count === this.model?.[patch]);
  }

  start() {
    const survived = this.shown();
    if (!survived) return; // The server has not sent its first answer yet.
    this.model = [...survived];
    this.painting.start(survived);
    this.change(true);
  }

  stop() {
    this.painting.stop();
    this.change(true);
  }

  undo() {
    this.change(this.painting.undo());
  }

  /**
   * Repaint, and send the choice to the server if it has changed.
   * @param {boolean} changed whether a patch has changed
   */
  change(changed) {
    if (changed) this.send(this.painting.survived?.join("") ?? "");
    live.changed();
  }

  /**
   * Apply the choice that the server has sent. If it equals the choice on screen, the undo history is not cleared.
   * @param {string} text one digit per patch, or empty for the model's choice
   */
  receive(text) {
    if (text === (this.painting.survived?.join("") ?? "")) return;
    if (text) this.painting.start([...text].map(Number));
    else this.painting.stop();
  }

  /**
   * Make the patch grid of a card.
   * @param {number} layer
   */
  makeGrid(layer) {
    const { painting } = this;
    const grid = new PatchGrid(layer === ALL ? "all" : `layer${layer}`, {
      hover: (index) => {
        this.hovered = index === null ? null : { layer, index };
        live.changed();
      },
      pick: (index) => {
        if (index === null) return;
        painting.begin(index, layer);
        this.change(painting.end());
      },
      strokes: {
        start: (index) => {
          painting.begin(index, layer);
          live.changed();
        },
        extend: (index) => {
          painting.extend(index, grid.geometry.columns);
          live.changed();
        },
        end: () => this.change(painting.end()),
        cancel: () => {
          painting.cancel();
          live.changed();
        },
      },
    });
    grid.keys = "Arrow keys move, Space drops or keeps a patch.";
    grid.cells.addEventListener("keydown", (event) => {
      if (event.key.toLowerCase() !== "z" || !(event.ctrlKey || event.metaKey)) return;
      event.preventDefault();
      this.undo();
    });
    return grid;
  }

  /**
   * Draw the mask of a layer on its grid.
   * @param {PatchGrid} grid
   * @param {number} layer
   * @param {Geometry} geometry
   * @param {string} image data URI of the query
   * @param {string} alt
   */
  draw(grid, layer, geometry, image, alt) {
    const { survived, layers, stroke } = this.painting;
    const isDropped = (index) => isDroppedAt(survived[index], layer, layers);
    if (this.labelled.get(grid) !== survived && !stroke) {
      this.labelled.set(grid, survived);
      const labels = survived.map((_, index) => `${geometry.name(index)}: ${isDropped(index) ? "dropped" : "kept"}`);
      grid.show(geometry, image, alt, labels);
    }
    if (!grid.element.clientWidth) return;
    const context = grid.context();
    grid.markDropped(context, isDropped);
    if (this.hovered?.layer === layer) ring(context, geometry.cell(this.hovered.index), PICKED, 2);
  }

  /** Update the state of the switch and the buttons. */
  drawTools() {
    this.toggle.setAttribute("aria-pressed", String(this.isOn));
    this.tools.hidden = !this.isOn;
    if (!this.isOn) return;
    const { survived, history, layers } = this.painting;
    this.undoButton.disabled = !history.length;
    this.modelButton.disabled = !this.model || survived.every((count, patch) => count === this.model[patch]);
    this.keepButton.disabled = survived.every((count) => count === layers);
  }
}
