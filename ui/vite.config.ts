import { defineConfig } from "vitest/config";

// Relative addresses: the page lies wherever Airflow mounts it. No inline script: the page's security policy allows none.
export default defineConfig({
  base: "./",
  esbuild: { jsx: "automatic", jsxImportSource: "preact" },
  test: { css: true }, // a test reads the colours
  build: { outDir: process.env.HOMELAKE_UI_OUT ?? "../plugins/static", emptyOutDir: true, modulePreload: { polyfill: false }, target: "es2022", assetsInlineLimit: 0 },
});
