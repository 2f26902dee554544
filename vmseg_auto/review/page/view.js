// One plane of the scan on a canvas, with the mask over it; the mouse and the keys that work on it.
// On the screen a slice has rows and columns; plane.order names the array's axes (0 Z, 1 Y, 2 X) that these are.

const MAP_COLOUR = [255, 221, 0];
const packed = ([red, green, blue], opacity) => (Math.round(opacity) << 24) | (blue << 16) | (green << 8) | red;

export class SliceView {
  // scene holds what all planes share: scan, mask, cursor, window, tool and so on (app.js).
  constructor(figure, scene) {
    this.canvas = figure.querySelector("canvas");
    this.words = figure.querySelector(".words");
    this.sides = ["left", "right", "top", "bottom"].map((side) => figure.querySelector(`.${side}`));
    this.bar = figure.querySelector(".scale");
    this.scene = scene;
    this.grey = document.createElement("canvas");
    this.cover = document.createElement("canvas");
    this.map = document.createElement("canvas");
    this.line = [];
    this.listen();
    new ResizeObserver(() => this.later()).observe(this.canvas);
  }

  show(plane) {
    this.plane = plane;
    [this.slices, this.rows, this.columns] = plane.order;
    this.axes = plane.order;
    this.size = plane.order.map((axis) => this.scene.shape[axis]);
    this.mm = plane.order.map((axis) => this.scene.spacing[axis]);
    for (const each of [this.grey, this.cover, this.map]) [each.width, each.height] = [this.size[2], this.size[1]];
    this.sides.forEach((element, i) => (element.textContent = plane.sides[i]));
    this.line = [];
    this.fit();
  }

  fit() {
    this.zoom = 1;
    this.middle = [(this.size[1] - 1) / 2, (this.size[2] - 1) / 2];
    this.later();
  }

  // Pixels of the canvas for a mm.
  get scale() {
    const { width, height } = this.canvas;
    return this.zoom * Math.min(width / (this.size[2] * this.mm[2]), height / (this.size[1] * this.mm[1]));
  }

  // The array's index along a screen axis (0 slices, 1 rows, 2 columns), and back: the same turn.
  turned(axis, index) {
    return this.plane.flipped[axis] ? this.size[axis] - 1 - index : index;
  }

  // The point [z, y, x] under a place on the canvas, not rounded within the slice.
  pointAt(x, y) {
    const point = [0, 0, 0];
    point[this.slices] = this.scene.cursor[this.slices];
    point[this.rows] = this.turned(1, this.middle[0] + (y - this.canvas.height / 2) / (this.scale * this.mm[1]));
    point[this.columns] = this.turned(2, this.middle[1] + (x - this.canvas.width / 2) / (this.scale * this.mm[2]));
    return point;
  }

  placeOf(point) {
    const row = this.turned(1, point[this.rows]) - this.middle[0];
    const column = this.turned(2, point[this.columns]) - this.middle[1];
    return [
      this.canvas.width / 2 + column * this.mm[2] * this.scale,
      this.canvas.height / 2 + row * this.mm[1] * this.scale,
    ];
  }

  later() {
    if (this.waiting || !this.plane) return;
    this.waiting = true;
    requestAnimationFrame(() => {
      this.waiting = false;
      this.draw();
    });
  }

  draw() {
    const { canvas, scene } = this;
    if (!scene.mask) return; // between two cases
    const sharp = window.devicePixelRatio || 1;
    const [width, height] = [canvas.clientWidth, canvas.clientHeight].map((side) => Math.max(1, Math.round(side * sharp)));
    if (canvas.width !== width) canvas.width = width;
    if (canvas.height !== height) canvas.height = height;
    this.paint();
    const context = canvas.getContext("2d");
    context.fillStyle = "#000";
    context.fillRect(0, 0, width, height);
    const across = this.size[2] * this.mm[2] * this.scale;
    const down = this.size[1] * this.mm[1] * this.scale;
    const left = width / 2 - (this.middle[1] + 0.5) * this.mm[2] * this.scale;
    const top = height / 2 - (this.middle[0] + 0.5) * this.mm[1] * this.scale;
    context.imageSmoothingEnabled = true;
    context.drawImage(this.grey, left, top, across, down);
    context.imageSmoothingEnabled = false;
    if (scene.overlay) context.drawImage(this.map, left, top, across, down);
    if (scene.maskShown) {
      context.drawImage(this.cover, left, top, across, down);
      this.drawEdges(context, left, top, this.edges);
    }
    if (scene.outline) {
      context.setLineDash([5, 4]);
      this.drawEdges(context, left, top, this.outlines, "#fff");
      context.setLineDash([]);
    }
    this.drawCross(context);
    this.drawTool(context);
    this.tell();
  }

  // The borders between voxels inside and outside of a label, as lines of the label's colour or of one for all.
  drawEdges(context, left, top, edgesOf, colour = null) {
    const [down, across] = [this.mm[1] * this.scale, this.mm[2] * this.scale];
    context.lineWidth = 1.5;
    for (const [value, edges] of Object.entries(edgesOf)) {
      context.strokeStyle = colour || `rgb(${this.scene.colours[value] || [255, 255, 255]})`;
      context.beginPath();
      for (let i = 0; i < edges.length; i += 4) {
        context.moveTo(left + edges[i + 1] * across, top + edges[i] * down);
        context.lineTo(left + edges[i + 3] * across, top + edges[i + 2] * down);
      }
      context.stroke();
    }
  }

  // Of each pixel of the slice, row by row, its place in arrays of voxels.
  places() {
    const { strides } = this.scene.mask;
    const [, height, width] = this.size;
    const found = new Uint32Array(height * width);
    const slice = this.scene.cursor[this.slices] * strides[this.slices];
    for (let row = 0; row < height; row += 1) {
      const start = slice + this.turned(1, row) * strides[this.rows];
      for (let column = 0; column < width; column += 1) {
        found[row * width + column] = start + this.turned(2, column) * strides[this.columns];
      }
    }
    return found;
  }

  // Put the slice's grey levels, the mask's colours and the map into pictures of a pixel a voxel.
  paint() {
    const { scan, mask, colours, overlay, outline, opacity, overlayOpacity } = this.scene;
    const places = this.places();
    const [low, high] = this.scene.steps();
    const factor = 255 / Math.max(1, high - low);
    this.fillPicture(this.grey, (pixels) => {
      for (let i = 0; i < places.length; i += 1) {
        const level = Math.max(0, Math.min(255, Math.round((scan[places[i]] - low) * factor)));
        pixels[i] = 0xff000000 | (level << 16) | (level << 8) | level;
      }
    });
    const coloured = (voxels, palette) => (pixels) => {
      for (let i = 0; i < places.length; i += 1) pixels[i] = palette[voxels[places[i]]];
    };
    const covers = Uint32Array.from({ length: 256 }, (_, value) => value && packed(colours[value] || [255, 255, 255], 255 * opacity));
    this.fillPicture(this.cover, coloured(mask.data, covers));
    const shades = Uint32Array.from({ length: 256 }, (_, value) => packed(MAP_COLOUR, value * overlayOpacity));
    if (overlay) this.fillPicture(this.map, coloured(overlay, shades));
    this.edges = this.edgesOf(mask.data, places);
    this.outlines = outline ? this.edgesOf(outline, places) : {};
  }

  fillPicture(canvas, fill) {
    const picture = new ImageData(this.size[2], this.size[1]);
    fill(new Uint32Array(picture.data.buffer));
    canvas.getContext("2d").putImageData(picture, 0, 0);
  }

  // Of each label in the slice the borders of its pixels: rows and columns of their ends.
  edgesOf(voxels, places) {
    const found = {};
    const [, height, width] = this.size;
    for (let i = 0; i < places.length; i += 1) {
      const own = voxels[places[i]];
      if (!own) continue;
      const [row, column] = [Math.floor(i / width), i % width];
      const edges = (found[own] ||= []);
      if (row === 0 || voxels[places[i - width]] !== own) edges.push(row, column, row, column + 1);
      if (row === height - 1 || voxels[places[i + width]] !== own) edges.push(row + 1, column, row + 1, column + 1);
      if (column === 0 || voxels[places[i - 1]] !== own) edges.push(row, column, row + 1, column);
      if (column === width - 1 || voxels[places[i + 1]] !== own) edges.push(row, column + 1, row + 1, column + 1);
    }
    return found;
  }

  drawCross(context) {
    const [x, y] = this.placeOf(this.scene.cursor).map((place) => Math.round(place) + 0.5);
    const gap = 8;
    context.strokeStyle = "rgba(90, 180, 230, 0.7)";
    context.lineWidth = 1;
    context.beginPath();
    for (const [from, to] of [[[0, y], [x - gap, y]], [[x + gap, y], [this.canvas.width, y]], [[x, 0], [x, y - gap]], [[x, y + gap], [x, this.canvas.height]]]) {
      context.moveTo(...from);
      context.lineTo(...to);
    }
    context.stroke();
  }

  // The line that is being drawn, and how far the brush reaches.
  drawTool(context) {
    context.strokeStyle = "#fff";
    context.lineWidth = 1.5;
    if (this.line.length) {
      context.beginPath();
      this.line.forEach((point, i) => context[i ? "lineTo" : "moveTo"](...this.placeOf(point)));
      context.stroke();
    }
    if (!this.pointer || !this.scene.brushing) return;
    context.beginPath();
    context.arc(...this.pointer, Math.max(1, this.scene.radius * this.scale), 0, 2 * Math.PI);
    context.stroke();
  }

  tell() {
    const { scene } = this;
    const index = scene.cursor[this.slices];
    const words = `${this.plane.plane} slice ${index + 1} of ${this.size[0]}`;
    this.words.textContent = words;
    this.canvas.setAttribute("aria-label", `${words}. ${scene.positionInWords()}`);
    this.canvas.dataset.drawn = String(Number(this.canvas.dataset.drawn || 0) + 1);
    this.bar.style.width = `${(10 * this.scale) / (window.devicePixelRatio || 1)}px`;
  }

  move(steps) {
    const way = this.plane.flipped[0] ? -1 : 1;
    this.scene.moveTo(this.slices, this.scene.cursor[this.slices] + way * steps);
  }

  zoomBy(factor, [x, y] = [this.canvas.width / 2, this.canvas.height / 2]) {
    const before = this.pointAt(x, y);
    this.zoom = Math.min(40, Math.max(0.5, this.zoom * factor));
    const after = this.pointAt(x, y);
    this.middle[0] += this.turned(1, before[this.rows]) - this.turned(1, after[this.rows]);
    this.middle[1] += this.turned(2, before[this.columns]) - this.turned(2, after[this.columns]);
    this.later();
  }

  place(event) {
    const box = this.canvas.getBoundingClientRect();
    const sharp = this.canvas.width / box.width;
    return [(event.clientX - box.left) * sharp, (event.clientY - box.top) * sharp];
  }

  listen() {
    const { canvas } = this;
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
    canvas.addEventListener("pointerdown", (event) => this.press(event));
    canvas.addEventListener("pointermove", (event) => this.drag(event));
    canvas.addEventListener("pointerup", (event) => this.release(event));
    canvas.addEventListener("pointercancel", (event) => this.release(event));
    canvas.addEventListener("pointerleave", () => {
      this.pointer = null;
      this.later();
    });
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      if (!this.plane) return;
      if (event.ctrlKey) this.zoomBy(event.deltaY < 0 ? 1.2 : 1 / 1.2, this.place(event));
      else this.move(event.deltaY > 0 ? 1 : -1);
    }, { passive: false });
    canvas.addEventListener("keydown", (event) => this.key(event));
  }

  press(event) {
    if (!this.plane || this.held) return;
    this.canvas.focus();
    this.canvas.setPointerCapture(event.pointerId);
    const place = this.place(event);
    this.held = { button: event.button, place, window: [...this.scene.window], middle: [...this.middle] };
    if (event.button !== 0) return;
    const point = this.pointAt(...place);
    if (this.scene.tool === "move") this.scene.goTo(point.map(Math.round));
    else if (this.scene.brushing) this.scene.brush(this, point, point, true);
    else if (this.scene.tool === "drop") this.scene.drop(point.map(Math.round));
    else if (this.scene.hinting) this.scene.hint(point.map(Math.round));
    else this.line = [point];
    this.held.point = point;
    this.later();
  }

  drag(event) {
    if (!this.plane) return;
    const place = this.place(event);
    this.pointer = place;
    this.later();
    if (!this.held) return;
    const [right, down] = [place[0] - this.held.place[0], place[1] - this.held.place[1]];
    if (this.held.button === 2) {
      this.scene.dragWindow(this.held.window, right, down);
    } else if (this.held.button === 1) {
      this.middle = [
        this.held.middle[0] - down / (this.scale * this.mm[1]),
        this.held.middle[1] - right / (this.scale * this.mm[2]),
      ];
    } else if (this.scene.tool === "move") {
      this.scene.goTo(this.pointAt(...place).map(Math.round));
    } else if (this.scene.brushing) {
      const point = this.pointAt(...place);
      this.scene.brush(this, this.held.point, point);
      this.held.point = point;
    } else if (this.line.length) {
      this.line.push(this.pointAt(...place));
    }
  }

  release(event) {
    if (!this.held) return;
    const { button } = this.held;
    this.held = null;
    if (button === 0 && this.scene.drawing) this.scene.endEdit();
    else if (button === 0 && this.line.length) this.closeLine();
    this.later();
  }

  closeLine() {
    if (this.line.length > 2) this.scene.fill(this, this.line);
    this.line = [];
    this.later();
  }

  // All that the mouse does goes by keys too, at the crosshair.
  key(event) {
    const steps = { ArrowUp: [1, -1], ArrowDown: [1, 1], ArrowLeft: [2, -1], ArrowRight: [2, 1] };
    if (!this.plane || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key in steps) {
      const [axis, step] = steps[event.key];
      const way = this.plane.flipped[axis] ? -step : step;
      this.scene.moveTo(this.axes[axis], this.scene.cursor[this.axes[axis]] + way * (event.shiftKey ? 10 : 1));
    } else if (event.key === "PageUp" || event.key === "PageDown") {
      this.move(event.key === "PageDown" ? 1 : -1);
    } else if (event.key === " ") {
      this.applyAtCross();
    } else if (event.key === "Enter" && this.line.length) {
      this.closeLine();
    } else if (event.key === "Escape") {
      this.line = [];
    } else if (event.key === "+" || event.key === "-") {
      this.zoomBy(event.key === "+" ? 1.25 : 0.8);
    } else if (event.key === "0") {
      this.fit();
    } else {
      return;
    }
    event.preventDefault();
    event.stopPropagation();
    this.later();
  }

  applyAtCross() {
    const point = [...this.scene.cursor];
    if (this.scene.brushing) {
      this.scene.brush(this, point, point, true);
      this.scene.endEdit();
    } else if (this.scene.tool === "drop") {
      this.scene.drop(point);
    } else if (this.scene.hinting) {
      this.scene.hint(point);
    } else if (this.scene.tool !== "move") {
      this.line.push(point);
    }
  }
}
