import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig } from 'vite';

// Two pages: the dashboard, and the one that a customer links a session on. What is built is committed (../dist), so that the Go program
// needs no Node; it is served under a policy without inline scripts and styles, hence no inlined assets.
export default defineConfig({
  plugins: [svelte()],
  build: {
    outDir: '../dist',
    emptyOutDir: true,
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    target: 'es2022',
    reportCompressedSize: false,
    rolldownOptions: {
      input: { index: 'index.html', link: 'link.html' },
      // What every page shares is one file: as thirty it was 8 kB more, in headers and in what gzip cannot see across files.
      output: { codeSplitting: { groups: [{ name: 'frame', test: /node_modules\/(svelte|openapi-fetch|esm-env|clsx)|src\/(api|design)\/|src\/(i18n\/i18n|router|keys|preference)|src\/parts\/(?!Plot|Table|Tabs|VirtualList|Json|linking)/ }] } },
    },
  },
  server: { proxy: { '/v1': 'http://127.0.0.1:3000', '/docs': 'http://127.0.0.1:3000', '/problems': 'http://127.0.0.1:3000' } },
});
