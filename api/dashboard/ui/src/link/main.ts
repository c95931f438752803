import '../design/tokens.css';
import { mount } from 'svelte';
import { theme } from '../design/theme.svelte';
import { i18n } from '../i18n/i18n.svelte';
import Link from './Link.svelte';

theme.apply();
await i18n.use();
mount(Link, { target: document.getElementById('app')! });
