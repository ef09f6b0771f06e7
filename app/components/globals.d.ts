// Types that several component scripts share and that no single script defines.

interface Window {
  fpcNavigation?: Navigation;
  fpcLive?: LiveStore;
}

/** An element that keeps its view's state between two calls of a component. */
type Host = HTMLElement & Record<string, any>;

/** What Streamlit passes to a component's default function. */
interface ComponentArgs<Data> {
  data: Data;
  parentElement: HTMLElement;
  setTriggerValue: (name: string, value: unknown) => void;
  setStateValue: (name: string, value: unknown) => void;
}

/** The patch grid in pixels of the model's input. */
interface Grid {
  rows: number;
  columns: number;
  stride: number;
  patch: number;
  width: number;
  height: number;
}

/** A transport plan between two images; arrays are base64 of float32 as sent, and decoded by `unpack`. */
interface Pair {
  kept: number[];
  plan: string;
  cost: string;
  queryMarginal: string;
  galleryMarginal: string;
  dEmd: number;
}

/** Heat maps of a strip: base64 of float32, one grid after the other, and the largest value. */
interface HeatPart {
  grids: string;
  top: number;
}

/** One image card (`Card` in fpc_core/explain/cards.py). */
interface ImageCard {
  id: string;
  title: string;
  lines: string[];
  tone: string;
  mark: string;
  tag: string;
  alt: string;
  selected: boolean;
  source?: string;
  image?: string;
}

/** A row of cards under a heading. */
interface Strip {
  id: string;
  title: string;
  note: string;
  cards: ImageCard[];
}
