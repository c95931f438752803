import './design/tokens.css';
import { mount } from 'svelte';
import App from './App.svelte';
import { i18n } from './i18n/i18n.svelte';
import { theme } from './design/theme.svelte';

theme.apply();
await i18n.use();
mount(App, { target: document.getElementById('app')! });
