import '../design/tokens.css';
import { mount } from 'svelte';
import { theme } from '../design/theme.svelte';
import { i18n } from '../i18n/i18n.svelte';
import { LinkAPI, takeToken } from './api';
import Link from './Link.svelte';

// Before anything else is loaded, so that the token stands in no address that something could pass on.
const token = takeToken();
i18n.loaders = { en: () => import('../i18n/en/linkpage'), es: () => import('../i18n/es/linkpage') };
theme.apply();
await i18n.use();
mount(Link, { target: document.getElementById('app')!, props: { api: token ? new LinkAPI(token) : undefined } });
