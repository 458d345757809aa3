// One provider that was not found here: its type, its key, where the key is kept, and a check.
import { useEffect, useRef, useState } from "preact/hooks";
import { KeyStore } from "../../api/gen/ccrelay/v1/setup_pb.ts";
import { ActButton } from "../../ui/basic.tsx";
import { ASKING, check, type Checked, CheckWord, type Chosen, type Reader } from "./check.tsx";
import { isMapped, KINDS, kindOf } from "./types.ts";

interface Props {
  number: number;
  keychain: boolean;
  keychainProblem: string;
  /** Whether the file is written: the key is cleared, and nothing can be changed. */
  written: boolean;
  onReader: (reader: Reader | null) => void;
  onRemove: () => void;
}

type KeyFrom = "keychain" | "file" | "variable";

export function Card({ number, keychain, keychainProblem, written, onReader, onRemove }: Props) {
  const [type, setType] = useState("anthropic");
  const [from, setFrom] = useState<KeyFrom>(keychain ? "keychain" : "file");
  const [baseUrl, setBaseUrl] = useState("");
  const [variable, setVariable] = useState("");
  const [model, setModel] = useState("");
  const [settings, setSettings] = useState<Record<string, string>>({});
  const [checked, setChecked] = useState<Checked>();
  const field = useRef<HTMLInputElement>(null);
  const kind = kindOf(type);
  const read = (): Chosen => {
    const own = { ...settings };
    if (isMapped(type) && model) own["model"] = model;
    const names = kind.settings?.map(([name]) => name) ?? [];
    const kept = Object.entries(own).filter(([name, value]) => value && (name === "model" || names.includes(name)));
    return {
      type,
      name: "",
      baseUrl: kind.hasUrl ? baseUrl : "",
      key: kind.hasKey && from !== "variable" ? (field.current?.value ?? "") : "",
      variable: kind.hasKey && from === "variable" ? variable : "",
      store: !kind.hasKey ? KeyStore.UNSPECIFIED : STORES[from],
      passThrough: false,
      settings: Object.fromEntries(kept),
    };
  };
  const held = useRef(read);
  held.current = read;
  useEffect(() => {
    onReader(() => held.current());
    return () => {
      onReader(null);
      if (field.current) field.current.value = "";
    };
  }, []);
  useEffect(() => {
    if (written && field.current) field.current.value = "";
  }, [written]);
  const models = checked?.models ?? [];
  const turn = useRef(0);
  const run = async (paid: boolean): Promise<void> => {
    const mine = ++turn.current;
    setChecked({ ...ASKING, models });
    const came = await check(read(), paid ? model || (models[0] ?? "") : "");
    if (turn.current === mine) setChecked(came);
  };
  /** What was checked is not what stands here any more. */
  const forget = (): void => {
    turn.current += 1;
    setChecked(undefined);
  };
  const keep = (next: KeyFrom): void => {
    if ((next === "variable") !== (from === "variable")) forget();
    setFrom(next);
  };
  const id = (name: string): string => `card-${number}-${name}`;
  return (
    <section class="panel" aria-label={`Provider ${number}`}>
      <header>
        <h2>Provider {number}</h2>
        {!written && (
          <div class="end">
            <button type="button" class="btn quiet" onClick={onRemove}>
              Remove
            </button>
          </div>
        )}
      </header>
      <fieldset class="body stack" disabled={written}>
        <div
          class="form"
          onInput={(event) => {
            // A model is named in what was said of it.
            if (event.target instanceof Element && event.target.id !== id("model")) forget();
          }}
        >
          <label for={id("type")}>Provider</label>
          <select
            class="sel"
            id={id("type")}
            value={type}
            onChange={(event) => setType(event.currentTarget.value)}
          >
            {KINDS.map((one) => (
              <option key={one.type} value={one.type}>
                {one.label}
              </option>
            ))}
          </select>
          {kind.hasUrl && <Text id={id("url")} label="Address" value={baseUrl} placeholder={type === "ollama" ? "http://127.0.0.1:11434" : "https://..."} onInput={setBaseUrl} />}
          {kind.settings?.map(([name, label]) => (
            <Text
              key={name}
              id={id(name)}
              label={label}
              value={settings[name] ?? ""}
              placeholder="from the environment"
              onInput={(value) => setSettings({ ...settings, [name]: value })}
            />
          ))}
          {kind.hasKey && from === "variable" && (
            <Text id={id("variable")} label="Variable" value={variable} placeholder="MY_API_KEY" onInput={setVariable} />
          )}
          {kind.hasKey && from !== "variable" && (
            <>
              <label for={id("key")}>Key</label>
              <span class="field">
                <input
                  ref={field}
                  id={id("key")}
                  type="password"
                  autocomplete="off"
                  data-1p-ignore
                  data-lpignore="true"
                  spellcheck={false}
                  placeholder={written ? "kept" : "paste it here"}
                />
              </span>
            </>
          )}
          {isMapped(type) && (
            <>
              <Text
                id={id("model")}
                label="Model"
                value={model}
                placeholder="for Claude's names; empty: its default"
                list={id("models")}
                onInput={setModel}
              />
              <datalist id={id("models")}>
                {models.map((one) => (
                  <option key={one} value={one} />
                ))}
              </datalist>
            </>
          )}
        </div>
        {kind.hasKey && (
          <fieldset class="row wrap su-store">
            <legend class="vh">Where the key is kept</legend>
            <Store name={id("store")} is={from === "keychain"} off={!keychain} label="in the keychain" onPick={() => keep("keychain")} />
            <Store name={id("store")} is={from === "file"} label="in a file of yours alone (0600)" onPick={() => keep("file")} />
            <Store name={id("store")} is={from === "variable"} label="in a variable already" onPick={() => keep("variable")} />
            {!keychain && keychainProblem && <span class="q su-why">No keychain: {keychainProblem}</span>}
          </fieldset>
        )}
        {!written && (
          <div class="row wrap">
            <ActButton disabled={checked?.result === "asking"} onClick={() => void run(false)}>
              Check, free
            </ActButton>
            {(model || models.length > 0) && (
              <ActButton disabled={checked?.result === "asking"} onClick={() => void run(true)}>
                Ask {model || models[0]} for one token, billed
              </ActButton>
            )}
            <CheckWord checked={checked} />
          </div>
        )}
        {models.length > 0 && (
          <p class="q2 su-models">
            Models: {models.slice(0, 12).join(", ")}
            {models.length > 12 ? ` and ${models.length - 12} more` : ""}.
          </p>
        )}
      </fieldset>
    </section>
  );
}

const STORES: Record<KeyFrom, KeyStore> = {
  keychain: KeyStore.KEYCHAIN,
  file: KeyStore.FILE,
  variable: KeyStore.ENVIRONMENT,
};

interface TextProps {
  id: string;
  label: string;
  value: string;
  placeholder: string;
  list?: string;
  onInput: (value: string) => void;
}

function Text({ id, label, value, placeholder, list, onInput }: TextProps) {
  return (
    <>
      <label for={id}>{label}</label>
      <span class="field">
        <input
          id={id}
          value={value}
          list={list}
          placeholder={placeholder}
          spellcheck={false}
          autocomplete="off"
          onInput={(event) => onInput(event.currentTarget.value)}
        />
      </span>
    </>
  );
}

interface StoreProps {
  name: string;
  is: boolean;
  off?: boolean;
  label: string;
  onPick: () => void;
}

function Store({ name, is, off = false, label, onPick }: StoreProps) {
  return (
    <label class="row">
      <input type="radio" name={name} checked={is} disabled={off} onChange={onPick} />
      {label}
    </label>
  );
}
