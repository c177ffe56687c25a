import{j as e}from"/console/chunk-64YE4EN6.js";function r(){return e`<div class="page"><header class="page-head"><h1>Operator</h1></header></div>`}export{r as default};
