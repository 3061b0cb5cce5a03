// Mouse, touch and keys on the stage.

const CLICK = 5; // CSS pixels that a click may wander
const STEP = 0.15; // of the view that an arrow key moves
const ZOOM = 1.5;
const SWIPE = 0.02;

export function attachGestures(stage, onClick, onHover) {
  const { canvas, view } = stage;
  const pointers = new Map(); // id -> [left, top]
  let wandered = 0;

  const at = (event) => {
    const box = canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };

  canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    canvas.setPointerCapture(event.pointerId);
    // A second finger makes it a pinch, and no click any more.
    wandered = pointers.size === 0 ? 0 : Infinity;
    pointers.set(event.pointerId, at(event));
  });

  canvas.addEventListener("pointermove", (event) => {
    const now = at(event);
    const before = pointers.get(event.pointerId);
    if (before === undefined) return;
    wandered += Math.hypot(now[0] - before[0], now[1] - before[1]);
    const others = [...pointers].filter(([id]) => id !== event.pointerId);
    pointers.set(event.pointerId, now);
    if (wandered <= CLICK) return;
    if (others.length === 1) pinch(view, others[0][1], before, now);
    else if (others.length === 0) view.move(before[0] - now[0], before[1] - now[1]);
    stage.redraw();
  });

  const end = (event) => {
    const had = pointers.delete(event.pointerId);
    if (had && event.type === "pointerup" && wandered <= CLICK) onClick(view.place(...at(event)));
  };
  canvas.addEventListener("pointerup", end);
  canvas.addEventListener("pointercancel", end);
  canvas.parentElement.addEventListener("pointermove", (event) => onHover(at(event)));
  canvas.parentElement.addEventListener("pointerleave", () => onHover(null));

  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    // Lines (mode 1) and pixels (mode 0): a notch of a wheel is about 100 pixels.
    const turned = event.deltaY * (event.deltaMode === 1 ? 33 : 1);
    view.zoom(2 ** (-turned / (event.ctrlKey ? 50 : 200)), ...at(event));
    stage.redraw();
  }, { passive: false });

  attachHandle(stage, (event) => onClick(view.place(...at(event))));
}

function pinch(view, fixed, before, now) {
  const distance = (one) => Math.max(Math.hypot(one[0] - fixed[0], one[1] - fixed[1]), 1);
  const middle = (one) => [(one[0] + fixed[0]) / 2, (one[1] + fixed[1]) / 2];
  const [from, to] = [middle(before), middle(now)];
  view.move(from[0] - to[0], from[1] - to[1]);
  view.zoom(distance(now) / distance(before), ...to);
}

/** The line between left and right: dragged it swipes, clicked it is part of the picture. */
function attachHandle(stage, onClick) {
  const { handle, canvas } = stage;
  let held = null; // {left, isDragged} from press to release
  handle.addEventListener("pointerdown", (event) => {
    handle.setPointerCapture(event.pointerId);
    held = { left: event.clientX, isDragged: false };
  });
  handle.addEventListener("pointermove", (event) => {
    if (held === null) return;
    held.isDragged ||= Math.abs(event.clientX - held.left) > CLICK;
    const box = canvas.getBoundingClientRect();
    if (held.isDragged) stage.setSwipe((event.clientX - box.left) / box.width);
  });
  handle.addEventListener("pointerup", (event) => {
    if (held !== null && !held.isDragged) onClick(event);
    held = null;
  });
  handle.addEventListener("pointercancel", () => { held = null; });
  handle.addEventListener("keydown", (event) => {
    const steps = { ArrowLeft: -SWIPE, ArrowRight: SWIPE, ArrowDown: -SWIPE, ArrowUp: SWIPE };
    const ends = { Home: 0, End: 1 };
    if (event.key in steps) stage.setSwipe(stage.swipe + steps[event.key]);
    else if (event.key in ends) stage.setSwipe(ends[event.key]);
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
}

/** Keys work wherever no field has them. */
export function attachKeys(stage, { onEnter, onSwap, zoomOne }) {
  const { view } = stage;
  const actions = {
    ArrowLeft: () => view.move(-STEP * view.width, 0),
    ArrowRight: () => view.move(STEP * view.width, 0),
    ArrowUp: () => view.move(0, -STEP * view.height),
    ArrowDown: () => view.move(0, STEP * view.height),
    "+": () => view.zoom(ZOOM),
    "=": () => view.zoom(ZOOM),
    "-": () => view.zoom(1 / ZOOM),
    0: () => view.fit(),
    1: zoomOne,
    "[": () => stage.setSwipe(stage.swipe - SWIPE),
    "]": () => stage.setSwipe(stage.swipe + SWIPE),
    x: onSwap,
    Enter: () => onEnter([view.x, view.y]),
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.closest("select, input, button, summary") || !(event.key in actions)) return;
    event.preventDefault();
    actions[event.key]();
    stage.redraw();
  });
}
