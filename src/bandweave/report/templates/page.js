"use strict";
document.documentElement.classList.add("js");

// Tables: a press on a heading sorts by it, a second press turns the order round.
function sortBy(table, column, direction) {
  const body = table.tBodies[0];
  const key = (row) => {
    const cell = row.cells[column];
    if (column === 0) return cell.textContent;
    return cell.dataset.order === undefined ? null : Number(cell.dataset.order);
  };
  const compare = (a, b) => {
    const [left, right] = [key(a), key(b)];
    // What has no value stays last, whichever the order.
    if (left === null || right === null) return (left === null) - (right === null);
    const order = column === 0 ? left.localeCompare(right) : left - right;
    return direction === "ascending" ? order : -order;
  };
  body.append(...[...body.rows].sort(compare));
}

for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    head.querySelector("button").addEventListener("click", () => {
      // An arrow in a heading says where better values are: the best come first.
      const first = head.textContent.includes("↑") ? "descending" : "ascending";
      const now = head.getAttribute("aria-sort");
      const other = first === "ascending" ? "descending" : "ascending";
      const direction = now === first ? other : first;
      for (const one of heads) one.setAttribute("aria-sort", "none");
      head.setAttribute("aria-sort", direction);
      sortBy(table, column, direction);
    });
  });
}

// Swipe: two pictures over each other, the front one cut at the divider.
for (const swipe of document.querySelectorAll(".swipe")) {
  const find = (selector) => swipe.querySelector(selector);
  const [left, right, errors] = [find(".left"), find(".right"), find(".errors")];
  const [stage, slider] = [find(".stage"), find("input[type=range]")];

  const show = (select, picture, tag) => {
    const colour = document.getElementById(`${select.value}-colour`);
    const map = errors && errors.checked && document.getElementById(`${select.value}-errors`);
    const source = map || colour;
    picture.src = source.src;
    picture.alt = source.alt;
    tag.textContent = select.selectedOptions[0].textContent + (map ? ", error" : "");
  };
  const update = () => {
    show(left, find(".front"), find(".tag-left"));
    show(right, find(".behind"), find(".tag-right"));
  };
  const move = () => stage.style.setProperty("--at", `${slider.value}%`);
  const follow = (event) => {
    const box = stage.getBoundingClientRect();
    slider.value = Math.round((100 * (event.clientX - box.left)) / box.width);
    move();
  };
  for (const control of [left, right, errors]) if (control) control.addEventListener("change", update);
  slider.addEventListener("input", move);
  stage.addEventListener("pointerdown", (event) => {
    stage.setPointerCapture(event.pointerId);
    follow(event);
  });
  stage.addEventListener("pointermove", (event) => {
    if (event.buttons) follow(event);
  });
  update();
  move();
}

// On paper nothing can be opened.
window.addEventListener("beforeprint", () => {
  for (const part of document.querySelectorAll("article details")) part.open = true;
});
