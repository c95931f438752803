import { preference } from '../preference';

export type Choice = 'auto' | 'light' | 'dark';

/** Light, dark, or what the system says. */
class Theme {
  choice = $state<Choice>((preference('theme') || 'auto') as Choice);

  apply() {
    document.documentElement.dataset['theme'] = this.choice;
  }

  choose(choice: Choice) {
    this.choice = choice;
    preference('theme', choice);
    this.apply();
  }
}

export const theme = new Theme();
