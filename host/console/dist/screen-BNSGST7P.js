import{j as e}from"/console/chunk-64YE4EN6.js";function a(){return e`<div class="page"><header class="page-head"><h1>Plugins</h1></header></div>`}export{a as default};
