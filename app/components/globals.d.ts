// Types that several component scripts share and no single script defines.

interface Window {
  fpcNavigation?: Navigation;
  fpcLive?: LiveStore;
  fpcFileDrop?: FileDrop;
}

/** An element on which a component stores the state of its view between two calls. */
type Host = HTMLElement & Record<string, any>;

/** Arguments that Streamlit passes to a component's default function. */
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
  pruned: "dim" | "hatch" | "outline";
  stride: number;
  patch: number;
  width: number;
  height: number;
}

/** A transport plan between two images. Arrays are sent as float32 in base64 and decoded by `unpack`. */
interface Pair {
  kept: number[];
  plan: string;
  cost: string;
  queryMarginal: string;
  galleryMarginal: string;
  dEmd: number;
}

/** Heat maps of a strip: all grids, one after the other, as float32 in base64, and the largest value. */
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
  hint?: string | null;
}

/** A row of cards with a heading. */
interface Strip {
  id: string;
  title: string;
  note: string;
  cards: ImageCard[];
}
