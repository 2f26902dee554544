"use strict";
// Slices and the 3-D viewer of a report. Both draw from the same NIfTI files, gzipped and in base64 in the page.
(() => {
  const FIRST_VOXEL = 352;
  const COLOURS = ["#ff7a1a", "#56b4e9", "#f0e442", "#009e73", "#cc79a7"];
  const LARGEST = 620;

  const unpacked = async (text) => {
    const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Response(stream).arrayBuffer();
  };

  const volume = (buffer) => {
    const header = new DataView(buffer);
    const [columns, rows, slices] = [42, 44, 46].map((at) => header.getInt16(at, true));
    const [wide, tall] = [80, 84].map((at) => header.getFloat32(at, true));
    return { columns, rows, slices, wide, tall, voxels: new Uint8Array(buffer, FIRST_VOXEL) };
  };

  // Marching squares: which sides of a square of four voxels the outline joins, by which of them are inside.
  // Sides: 0 top, 1 right, 2 bottom, 3 left.
  const JOINED = [
    [], [[3, 2]], [[2, 1]], [[3, 1]], [[0, 1]], [[0, 1], [3, 2]], [[0, 2]], [[3, 0]],
    [[3, 0]], [[0, 2]], [[3, 0], [2, 1]], [[0, 1]], [[3, 1]], [[2, 1]], [[3, 2]], [],
  ];
  const SIDES = [[1, 0.5], [1.5, 1], [1, 1.5], [0.5, 1]];

  const traced = (mask, slice, value, across, down) => {
    const path = new Path2D();
    const { columns, rows, voxels } = mask;
    const first = slice * rows * columns;
    const inside = (x, y) =>
      x >= 0 && y >= 0 && x < columns && y < rows && voxels[first + y * columns + x] === value ? 1 : 0;
    for (let y = -1; y < rows; y++) {
      for (let x = -1; x < columns; x++) {
        const code = 8 * inside(x, y) + 4 * inside(x + 1, y) + 2 * inside(x + 1, y + 1) + inside(x, y + 1);
        for (const ends of JOINED[code]) {
          const [[x0, y0], [x1, y1]] = ends.map((side) => SIDES[side]);
          path.moveTo((x + x0) * across, (y + y0) * down);
          path.lineTo((x + x1) * across, (y + y1) * down);
        }
      }
    }
    return path;
  };

  const slider = (box) => {
    const canvas = box.querySelector("canvas");
    const range = box.querySelector("input[type=range]");
    const shown = box.querySelector("output");
    const outlines = box.querySelector(".outlines");
    const scale = box.querySelector(".screen .scale");
    const numbers = box.dataset.numbers.split(" ");
    const packed = (kind) => unpacked(box.querySelector(`script.${kind}`).textContent);
    let files = null;
    let scan = null;
    let mask = null;

    const draw = () => {
      const index = Number(range.value);
      const words = `${box.dataset.plane} slice ${numbers[index]}`;
      shown.textContent = words;
      range.setAttribute("aria-valuetext", words);
      canvas.setAttribute("aria-label", `${box.dataset.name}, ${words}`);
      if (!scan) return;
      const height = (scan.rows * scan.tall) / (scan.columns * scan.wide);
      const width = Math.min(box.clientWidth, LARGEST, LARGEST / height);
      const dense = window.devicePixelRatio || 1;
      canvas.width = Math.round(width * dense);
      canvas.height = Math.round(width * height * dense);
      canvas.style.width = `${width}px`;
      scale.style.width = `${(10 * width) / (scan.columns * scan.wide)}px`;
      const grey = new ImageData(scan.columns, scan.rows);
      const first = index * scan.rows * scan.columns;
      for (let at = 0; at < scan.rows * scan.columns; at++) {
        grey.data.fill(scan.voxels[first + at], 4 * at, 4 * at + 3);
        grey.data[4 * at + 3] = 255;
      }
      const small = document.createElement("canvas");
      small.width = scan.columns;
      small.height = scan.rows;
      small.getContext("2d").putImageData(grey, 0, 0);
      const pen = canvas.getContext("2d");
      pen.imageSmoothingQuality = "high";
      pen.drawImage(small, 0, 0, canvas.width, canvas.height);
      if (!outlines.checked) return;
      pen.lineWidth = 2 * dense;
      COLOURS.forEach((colour, label) => {
        pen.strokeStyle = colour;
        pen.stroke(traced(mask, index, label + 1, canvas.width / mask.columns, canvas.height / mask.rows));
      });
    };

    const load = () => {
      files ??= Promise.all([packed("scan"), packed("mask")]).then((buffers) => {
        [scan, mask] = buffers.map(volume);
        draw();
        box.dataset.drawn = "yes";
        return buffers;
      });
      return files;
    };
    const show = (index) => {
      range.value = index;
      draw();
    };
    range.addEventListener("input", draw);
    outlines.addEventListener("change", draw);
    window.addEventListener("resize", draw);
    box.querySelector(".back").addEventListener("click", () => show(Number(range.value) - 1));
    box.querySelector(".on").addEventListener("click", () => show(Number(range.value) + 1));
    for (const button of box.closest(".patient").querySelectorAll(".jump")) {
      button.addEventListener("click", () => {
        show(Number(button.dataset.slice));
        box.scrollIntoView({ block: "nearest" });
      });
    }
    const open = box.querySelector(".open");
    open.addEventListener("click", () => viewer(box.querySelector(".viewer"), open, load, Number(range.value)));
    new IntersectionObserver((seen, observer) => {
      if (seen.some((one) => one.isIntersecting)) {
        observer.disconnect();
        load();
      }
    }, { rootMargin: "400px" }).observe(box);
    draw();
  };

  // The viewer's code lies packed in the page, and becomes a script only when someone asks for it.
  let code = null;
  const niivueLoaded = () => {
    code ??= unpacked(document.getElementById("viewer").textContent).then((buffer) => {
      const script = document.createElement("script");
      script.textContent = new TextDecoder().decode(buffer);
      document.head.append(script);
    });
    return code;
  };

  // The colours of outlines as NiiVue wants them: red, green, blue and opacity of each label.
  const colours = () => {
    const parts = COLOURS.map((colour) => [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16)));
    const [R, G, B] = [0, 1, 2].map((at) => [0, ...parts.map((part) => part[at])]);
    const A = [0, ...parts.map(() => 255)];
    return { R, G, B, A, I: A.map((_, label) => label) };
  };

  // Where the middle of what is marked in a slice lies in the world, in mm.
  const middle = (file, slice) => {
    const { columns, rows, voxels } = volume(file);
    const header = new DataView(file);
    let [count, across, down] = [0, 0, 0];
    for (let at = 0; at < rows * columns; at++) {
      if (!voxels[slice * rows * columns + at]) continue;
      count += 1;
      across += at % columns;
      down += Math.floor(at / columns);
    }
    const place = count ? [across / count, down / count, slice, 1] : [columns / 2, rows / 2, slice, 1];
    return [0, 1, 2].map((row) =>
      place.reduce((sum, part, column) => sum + part * header.getFloat32(280 + 16 * row + 4 * column, true), 0),
    );
  };

  let closed = () => {};
  const viewer = async (place, button, load, start) => {
    const wasOpen = !place.hidden;
    closed();
    closed = () => {};
    if (wasOpen) return;
    place.hidden = false;
    button.textContent = "Close 3-D";
    const canvas = document.createElement("canvas");
    canvas.tabIndex = 0;
    canvas.setAttribute("aria-label", "3-D viewer; the slices above show the same");
    place.replaceChildren(canvas);
    closed = () => {
      canvas.getContext("webgl2")?.getExtension("WEBGL_lose_context")?.loseContext();
      place.replaceChildren();
      place.hidden = true;
      delete place.dataset.drawn;
      button.textContent = "Open in 3-D";
    };
    if (!document.createElement("canvas").getContext("webgl2")) {
      place.textContent = "This browser can't draw in 3-D (WebGL 2 is missing or off). The slices above show the same.";
      return;
    }
    await niivueLoaded();
    const [scan, mask] = await load();
    const view = new niivue.Niivue({
      backColor: [0, 0, 0, 1],
      crosshairColor: [0.35, 0.7, 0.9, 0.8],
      crosshairWidth: 0.4,
      crosshairWidthUnit: "mm",
      dragAndDropEnabled: false,
      isRadiologicalConvention: true,
      loadingText: "",
      logLevel: "error",
      multiplanarLayout: niivue.MULTIPLANAR_TYPE.GRID,
      multiplanarShowRender: niivue.SHOW_RENDER.ALWAYS,
    });
    await view.attachToCanvas(canvas);
    await view.loadFromArrayBuffer(scan.slice(0), "scan.nii");
    await view.loadFromArrayBuffer(mask.slice(0), "mask.nii");
    view.volumes[1].setColormapLabel(colours());
    view.setOpacity(1, 0.5);
    view.scene.crosshairPos = view.mm2frac(middle(mask, start));
    view.drawScene();
    place.dataset.drawn = "yes";
  };

  const canDraw = typeof DecompressionStream === "function";
  document.documentElement.classList.add(canDraw ? "js" : "old");
  if (canDraw) for (const box of document.querySelectorAll(".slices")) slider(box);
})();
