// What a person who cannot see well, or not at all, would stumble over on this page: a list of words.
() => {
  const found = [];
  const isShown = (element) => element.checkVisibility();
  const words = (element) => (element.textContent || "").trim().slice(0, 40);

  // Names and labels.
  const nameOf = (element) => [
    element.getAttribute("aria-label"), ...[...(element.labels ?? [])].map((label) => label.textContent),
    element.title, element.textContent, element.value,
  ].find((text) => text?.trim());
  for (const element of document.querySelectorAll("a[href], button, summary, select, textarea, input:not([type=hidden])")) {
    if (!isShown(element)) continue;
    if (!nameOf(element)) found.push(`no name: ${element.outerHTML.slice(0, 100)}`);
    const isField = element.matches("select, textarea, input:not([type=submit])");
    if (isField && !element.labels?.length && !element.hasAttribute("aria-label")) {
      found.push(`no label: ${element.outerHTML.slice(0, 100)}`);
    }
  }
  const ids = [...document.querySelectorAll("[id]")].map((element) => element.id);
  for (const id of new Set(ids.filter((one, place) => ids.indexOf(one) !== place))) found.push(`id twice: ${id}`);
  const headings = [...document.querySelectorAll("h1")].filter(isShown);
  if (headings.length !== 1) found.push(`h1: ${headings.length}`);

  // Contrast of every text with what lies behind it (WCAG 2: 4.5, large 3).
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const colourOf = (text) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = text;
    canvas.fillRect(0, 0, 1, 1);
    const [red, green, blue, alpha] = canvas.getImageData(0, 0, 1, 1).data;
    return [red, green, blue, alpha / 255];
  };
  const over = (front, back, alpha) => back.map((value, place) => front[place] * alpha + value * (1 - alpha));
  const behind = (element) => {
    const layers = [];
    for (let one = element; one; one = one.parentElement) {
      layers.push(colourOf(getComputedStyle(one).backgroundColor));
      if (layers.at(-1)[3] === 1) break;
    }
    return layers.reverse().reduce((back, layer) => over(layer, back, layer[3]), [255, 255, 255]);
  };
  const light = (colour) => colour
    .map((value) => (value / 255 <= 0.03928 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4))
    .reduce((sum, value, place) => sum + value * [0.2126, 0.7152, 0.0722][place], 0);
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement;
    if (!texts.currentNode.textContent.trim() || !isShown(element)) continue;
    if (element.closest(".visually-hidden, script, [disabled], [aria-disabled]")) continue;
    const style = getComputedStyle(element);
    let alpha = colourOf(style.color)[3];
    for (let one = element; one; one = one.parentElement) alpha *= Number(getComputedStyle(one).opacity);
    const back = behind(element);
    const [low, high] = [light(over(colourOf(style.color), back, alpha)), light(back)].sort((a, b) => a - b);
    const contrast = (high + 0.05) / (low + 0.05);
    const isLarge = parseFloat(style.fontSize) >= 24;
    if (contrast < (isLarge ? 3 : 4.5)) {
      found.push(`contrast ${contrast.toFixed(2)}: .${element.className} “${words(element)}”`);
    }
  }
  return [...new Set(found)];
}
