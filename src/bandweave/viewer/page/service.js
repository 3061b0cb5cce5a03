// Asking the program that serves this page. Addresses are relative: the token stays in the page's own.

/** An answer that says in a sentence why there is none. */
export class Refusal extends Error {}

async function ask(address, signal) {
  let answer;
  try {
    answer = await fetch(address, { signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refusal("The viewer does not answer any more; start `bandweave view` again.");
  }
  if (!answer.ok) throw new Refusal(await answer.text());
  return answer;
}

export async function askJson(address, query = {}, signal = undefined) {
  const text = new URLSearchParams(query).toString();
  return (await ask(text ? `${address}?${text}` : address, signal)).json();
}

export async function askPicture(address, signal) {
  return createImageBitmap(await (await ask(address, signal)).blob());
}
