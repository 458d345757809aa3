import { defineConfig, type Plugin } from "vite";

/** The page speaks the binary format alone: the JSON format, which connect could speak too, is left out. */
const binaryOnly: Plugin = {
  name: "binary-only",
  transform(code, id) {
    if (!/\/@bufbuild\/protobuf\/dist\/esm\/(from|to)-json\.js$/.test(id)) return null;
    const names = [...code.matchAll(/^export function (\w+)/gm)].map((match) => `none as ${match[1]}`);
    const none = `const none = () => { throw new Error("no JSON format"); }; export { ${names.join(", ")} };`;
    return { code: none, map: null };
  },
};

// The content security policy of the page allows files of its own origin only: nothing is inlined.
// Names carry a hash of the content alone, so that a second build gives the same bytes.
export default defineConfig({
  base: "./",
  publicDir: false,
  plugins: [binaryOnly],
  // Its name has no hash: pages of an older build and of this one share one worker, which passes
  // bytes on and knows nothing of the pages.
  worker: { format: "iife", rollupOptions: { output: { entryFileNames: "streams.js" } } },
  build: {
    outDir: "dist",
    emptyOutDir: true,
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
    target: "es2023",
    sourcemap: false,
    cssCodeSplit: false,
  },
});
