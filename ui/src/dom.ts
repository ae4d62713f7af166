// As much of a browser's document as Preact needs to draw into: what components do over time is tested without a browser.
import { render, type ComponentChild } from "preact";
import { act } from "preact/test-utils";

type Heard = (event: object) => void;

export class Node {
  childNodes: Node[] = [];
  parentNode: Node | null = null;
  attributes: Record<string, unknown> = {};
  style = {};
  namespaceURI = "http://www.w3.org/1999/xhtml";
  onclick = null; // known kinds of events, by which Preact spells them
  onchange = null;
  ontoggle = null;
  private heard: Record<string, Heard> = {};

  constructor(readonly localName: string, public data = "", readonly nodeType = localName ? 1 : 3) {}

  get firstChild(): Node | null {
    return this.childNodes[0] ?? null;
  }
  get nextSibling(): Node | null {
    const all = this.parentNode?.childNodes ?? [];
    return all[all.indexOf(this) + 1] ?? null;
  }
  get textContent(): string {
    return this.data + this.childNodes.map((n) => n.textContent).join("");
  }
  insertBefore(node: Node, next: Node | null): void {
    node.parentNode?.removeChild(node);
    this.childNodes.splice(next ? this.childNodes.indexOf(next) : this.childNodes.length, 0, node);
    node.parentNode = this;
  }
  appendChild(node: Node): void {
    this.insertBefore(node, null);
  }
  removeChild(node: Node): void {
    this.childNodes = this.childNodes.filter((n) => n !== node);
    node.parentNode = null;
  }
  setAttribute(name: string, value: unknown): void {
    this.attributes[name] = value;
  }
  removeAttribute(name: string): void {
    delete this.attributes[name];
  }
  addEventListener(type: string, heard: Heard): void {
    this.heard[type] = heard;
  }
  removeEventListener(type: string): void {
    delete this.heard[type];
  }
  tell(type: string, more: object = {}): void {
    this.heard[type]?.call(this, { type, currentTarget: this, preventDefault: () => {}, ...more });
  }
  all(name: string): Node[] {
    return [...(this.localName === name ? [this] : []), ...this.childNodes.flatMap((n) => n.all(name))];
  }
  /** The first element of a kind that has this text. */
  find(name: string, text = ""): Node {
    const found = this.all(name).find((n) => n.textContent.includes(text));
    if (!found) throw new Error(`no ${name} with ${text} in: ${this.textContent}`);
    return found;
  }
}

/** A page that may be hidden. */
export class Page extends EventTarget {
  hidden = false;
  createElementNS = (_: string, name: string) => new Node(name);
  createTextNode = (text: string) => new Node("", text);
  hide(hidden: boolean): void {
    this.hidden = hidden;
    this.dispatchEvent(new Event("visibilitychange"));
  }
}

/** The root of what is drawn, and how to draw anew. Everything that an act gives rise to is done when it has returned. */
export function drawn(first: ComponentChild): { root: Node; draw: (next: ComponentChild) => Promise<void> } {
  const root = new Node("div");
  const draw = (next: ComponentChild) => act(() => render(next, root as unknown as Element));
  void draw(first);
  return { root, draw };
}
