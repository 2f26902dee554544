// The mask that is drawn: label values of all voxels, what changes them, and undo and redo without end.
// Arrays are [Z, Y, X]; a point is [z, y, x] in voxels, whole numbers at the voxels' centres.

export class Mask {
  // base is the mask as it stands in the folder, reference what the work is measured against (null where that is gone).
  constructor(shape, spacing, base, reference) {
    Object.assign(this, { shape, spacing, base, reference });
    this.strides = [shape[1] * shape[2], shape[2], 1];
    this.data = base.slice();
    this.counts = Mask.count(base);
    this.fromBase = 0;
    this.fromReference = reference ? base.reduce((sum, value, at) => sum + (value !== reference[at]), 0) : 0;
    this.done = [];
    this.undone = [];
    this.edit = null;
    this.revision = 0;
  }

  static count(voxels) {
    const counts = new Array(256).fill(0);
    for (const value of voxels) counts[value] += 1;
    return counts;
  }

  get asItStands() {
    return this.fromBase === 0;
  }

  get asReference() {
    return this.reference !== null && this.fromReference === 0;
  }

  at([z, y, x]) {
    return z * this.strides[0] + y * this.strides[1] + x;
  }

  holds(point) {
    return point.every((value, axis) => value >= 0 && value < this.shape[axis]);
  }

  // An edit is what one undo takes back: begin, any number of changes, end.
  begin() {
    if (this.edit) this.end();
    this.edit = { places: [], before: [], after: [] };
  }

  set(at, value) {
    const before = this.data[at];
    if (before === value) return;
    this.edit.places.push(at);
    this.edit.before.push(before);
    this.edit.after.push(value);
    this._put(at, value);
  }

  end() {
    const { places, before, after } = this.edit;
    this.edit = null;
    if (!places.length) return false;
    this.done.push({ places: Uint32Array.from(places), before: Uint8Array.from(before), after: Uint8Array.from(after) });
    this.undone = [];
    this.revision += 1;
    return true;
  }

  undo() {
    if (this.edit) this.end();
    const edit = this.done.pop();
    if (!edit) return false;
    for (let i = edit.places.length - 1; i >= 0; i -= 1) this._put(edit.places[i], edit.before[i]);
    this.undone.push(edit);
    this.revision += 1;
    return true;
  }

  redo() {
    if (this.edit) this.end();
    const edit = this.undone.pop();
    if (!edit) return false;
    edit.places.forEach((at, i) => this._put(at, edit.after[i]));
    this.done.push(edit);
    this.revision += 1;
    return true;
  }

  _put(at, value) {
    const before = this.data[at];
    this.data[at] = value;
    this.counts[before] -= 1;
    this.counts[value] += 1;
    const changed = (other) => (value !== other) - (before !== other);
    this.fromBase += changed(this.base[at]);
    if (this.reference) this.fromReference += changed(this.reference[at]);
  }

  // The clicks that the mask has been changed by; those that were taken back are none.
  get clicks() {
    return this.done.flatMap((edit) => (edit.click ? [edit.click] : []));
  }

  // Take over, as one edit, what a model changes in a box [[from, to], ...] after a click: 1 makes a voxel background,
  // 2 gives it the label. Returns how many voxels are changed.
  apply([[top, bottom], [front, back], [left, right]], change, label, click) {
    this.begin();
    let i = 0;
    for (let z = top; z < bottom; z += 1) {
      for (let y = front; y < back; y += 1) {
        for (let x = left; x < right; x += 1, i += 1) {
          if (change[i]) this.set(this.at([z, y, x]), change[i] === 2 ? label : 0);
        }
      }
    }
    if (!this.end()) return 0;
    const edit = this.done[this.done.length - 1];
    edit.click = click;
    return edit.places.length;
  }

  replace(voxels) {
    this.begin();
    for (let at = 0; at < voxels.length; at += 1) this.set(at, voxels[at]);
    return this.end();
  }

  // Voxels whose centres lie within radius mm of the line from one point to another, and those under its ends.
  // With an axis only those of the slice that the points lie in. `takes` decides on each voxel by its place.
  brush(from, to, radius, value, axis = null, takes = () => true) {
    const { shape, spacing } = this;
    const paint = (point) => {
      const at = this.at(point);
      if (takes(at)) this.set(at, value);
    };
    for (const end of [from, to].map((point) => point.map(Math.round))) if (this.holds(end)) paint(end);
    const [low, high] = [0, 1, 2]
      .map((a) => {
        const reach = a === axis ? 0 : radius / spacing[a];
        const [near, far] = a === axis ? [from[a], from[a]] : [Math.min(from[a], to[a]), Math.max(from[a], to[a])];
        return [Math.max(0, Math.ceil(near - reach)), Math.min(shape[a] - 1, Math.floor(far + reach))];
      })
      .reduce(([lows, highs], [l, h]) => [[...lows, l], [...highs, h]], [[], []]);
    const along = to.map((end, a) => (end - from[a]) * spacing[a]);
    const length = along.reduce((sum, mm) => sum + mm * mm, 0);
    for (let z = low[0]; z <= high[0]; z += 1) {
      for (let y = low[1]; y <= high[1]; y += 1) {
        for (let x = low[2]; x <= high[2]; x += 1) {
          const away = [(z - from[0]) * spacing[0], (y - from[1]) * spacing[1], (x - from[2]) * spacing[2]];
          const dot = away[0] * along[0] + away[1] * along[1] + away[2] * along[2];
          const share = length ? Math.min(1, Math.max(0, dot / length)) : 0;
          const rest = away.map((mm, a) => mm - share * along[a]);
          if (rest[0] * rest[0] + rest[1] * rest[1] + rest[2] * rest[2] <= radius * radius) paint([z, y, x]);
        }
      }
    }
  }

  // Voxels of a slice whose centres lie within a closed line (even-odd rule). axes: [slices, rows, columns].
  fill(points, axes, value) {
    const [slices, rows, columns] = axes;
    const slice = Math.round(points[0][slices]);
    for (let row = 0; row < this.shape[rows]; row += 1) {
      const crossings = [];
      points.forEach((one, i) => {
        const other = points[(i + 1) % points.length];
        if (one[rows] <= row === other[rows] <= row) return;
        const share = (row - one[rows]) / (other[rows] - one[rows]);
        crossings.push(one[columns] + share * (other[columns] - one[columns]));
      });
      crossings.sort((a, b) => a - b);
      for (let i = 0; i + 1 < crossings.length; i += 2) {
        const last = Math.min(this.shape[columns] - 1, Math.floor(crossings[i + 1]));
        for (let column = Math.max(0, Math.ceil(crossings[i])); column <= last; column += 1) {
          const point = [0, 0, 0];
          point[slices] = slice;
          point[rows] = row;
          point[columns] = column;
          this.set(this.at(point), value);
        }
      }
    }
  }

  // The connected piece of the same label (26 neighbours) that a voxel belongs to, as places.
  component(point) {
    const value = this.data[this.at(point)];
    if (!value) return [];
    const [depth, height, width] = this.shape;
    const seen = new Set([this.at(point)]);
    const waiting = [this.at(point)];
    while (waiting.length) {
      const at = waiting.pop();
      const z = Math.floor(at / this.strides[0]);
      const y = Math.floor((at % this.strides[0]) / width);
      const x = at % width;
      for (let k = Math.max(0, z - 1); k <= Math.min(depth - 1, z + 1); k += 1) {
        for (let j = Math.max(0, y - 1); j <= Math.min(height - 1, y + 1); j += 1) {
          for (let i = Math.max(0, x - 1); i <= Math.min(width - 1, x + 1); i += 1) {
            const next = k * this.strides[0] + j * width + i;
            if (this.data[next] === value && !seen.has(next)) {
              seen.add(next);
              waiting.push(next);
            }
          }
        }
      }
    }
    return [...seen];
  }

  // Between each two neighbouring outlined slices along an axis, what lies between them (shape-based interpolation,
  // Raya and Udupa, IEEE TMI 1990, 9:32): the mean of both slices' signed distances, weighted by nearness.
  // Slices that hold the label already stay. axes: as in fill.
  interpolate(axes, value) {
    const [slices, rows, columns] = axes;
    const sides = [this.shape[rows], this.shape[columns]];
    const place = (slice, row, column) =>
      slice * this.strides[slices] + row * this.strides[rows] + column * this.strides[columns];
    const inside = (slice) => {
      const plane = new Uint8Array(sides[0] * sides[1]);
      for (let row = 0; row < sides[0]; row += 1) {
        for (let column = 0; column < sides[1]; column += 1) {
          plane[row * sides[1] + column] = this.data[place(slice, row, column)] === value;
        }
      }
      return plane;
    };
    const outlined = [];
    for (let slice = 0; slice < this.shape[slices]; slice += 1) if (inside(slice).includes(1)) outlined.push(slice);
    for (let i = 0; i + 1 < outlined.length; i += 1) {
      const [first, last] = [outlined[i], outlined[i + 1]];
      if (last - first < 2) continue;
      const spacing = [this.spacing[rows], this.spacing[columns]];
      const [one, other] = [first, last].map((slice) => signedDistance(inside(slice), sides, spacing));
      for (let slice = first + 1; slice < last; slice += 1) {
        const share = (slice - first) / (last - first);
        one.forEach((distance, at) => {
          if ((1 - share) * distance + share * other[at] > 0) {
            this.set(place(slice, Math.floor(at / sides[1]), at % sides[1]), value);
          }
        });
      }
    }
  }
}

// Of each pixel the distance in mm to the nearest one on the other side, above 0 inside.
function signedDistance(plane, sides, spacing) {
  const out = distances(plane, 1, sides, spacing);
  const into = distances(plane, 0, sides, spacing);
  return out.map((distance, at) => into[at] - distance);
}

// The exact distance of each pixel to the nearest one of a value (two passes; sides are a few hundred pixels).
function distances(plane, value, [height, width], [down, across]) {
  const column = new Float64Array(height * width).fill(Infinity);
  for (let x = 0; x < width; x += 1) {
    for (const [start, step] of [[0, 1], [height - 1, -1]]) {
      let nearest = Infinity;
      for (let y = start; y >= 0 && y < height; y += step) {
        nearest = plane[y * width + x] === value ? 0 : nearest + down;
        column[y * width + x] = Math.min(column[y * width + x], nearest);
      }
    }
  }
  const found = new Float64Array(height * width);
  for (let y = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1) {
      let least = column[y * width + x] ** 2;
      for (let step = 1; step < width && (step * across) ** 2 < least; step += 1) {
        for (const other of [x - step, x + step]) {
          if (other >= 0 && other < width) least = Math.min(least, column[y * width + other] ** 2 + (step * across) ** 2);
        }
      }
      found[y * width + x] = Math.sqrt(least);
    }
  }
  return found;
}
